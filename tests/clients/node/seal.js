// A server's beginning by node-vault: initialised, unsealed, sealed, and a root token made from shares. It begins with nothing.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';

import { client, refused } from './vault.js';

const nobody = client();
let made;

test('a server without a store says so in each of its ways', async () => {
    assert.equal((await nobody.initialized()).initialized, false);
    const status = await nobody.status();
    assert.deepEqual([status.initialized, status.sealed], [false, true]);
    // node-vault takes every health as an answer, whatever its status code.
    assert.equal((await nobody.health()).initialized, false);
    await refused(nobody.mounts(), 503, /sealed/);
});

test('a threshold above the number of shares is refused', async () => {
    await refused(nobody.init({ secret_shares: 2, secret_threshold: 3 }), 400);
    await refused(nobody.init({ secret_shares: 5, secret_threshold: 1 }), 400);
    assert.equal((await nobody.initialized()).initialized, false);
});

test('init hands out shares and a root token, once', async () => {
    made = await nobody.init({ secret_shares: 5, secret_threshold: 3 });
    assert.equal(new Set(made.keys).size, 5);
    assert.equal(made.keys_base64.length, 5);
    assert.match(made.root_token, /^hvs\./);
    await refused(nobody.init({ secret_shares: 1, secret_threshold: 1 }), 400, /already initialized/);
});

test('three of five shares unseal it, one given twice counts once', async () => {
    assert.deepEqual(await unsealed(0), [true, 1]);
    assert.deepEqual(await unsealed(0), [true, 1]);
    assert.equal((await nobody.unseal({ reset: true })).progress, 0);
    assert.deepEqual(await unsealed(4), [true, 1]);
    assert.deepEqual(await unsealed(2), [true, 2]);
    await refused(client(made.root_token).mounts(), 503);
    assert.deepEqual(await unsealed(1), [false, 0]);
    const health = await nobody.health();
    assert.deepEqual([health.initialized, health.sealed, health.standby], [true, false, false]);
});

test('health answers with the codes it is asked for', async () => {
    assert.equal((await nobody.health({ activecode: 299 })).sealed, false);
    // One server alone leads nobody, as a Vault on one disk says.
    const leader = await nobody.leader();
    assert.deepEqual([leader.ha_enabled, leader.is_self], [false, false]);
});

test('shares make a root token that only the holder of the pad can read', async () => {
    const operator = client(made.root_token);
    const { otp_length: length } = await operator.read('sys/generate-root/attempt');
    const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
    const otp = Array.from(randomBytes(length), (byte) => letters[byte % letters.length]).join('');
    await operator.generateRootInit({ otp });
    await operator.generateRootCancel();
    const { nonce } = await operator.generateRootInit({ otp });
    await refused(operator.generateRootUpdate({ key: made.keys[0], nonce: 'another' }), 400);
    let step;
    for (const key of made.keys.slice(1, 4)) step = await operator.generateRootUpdate({ key, nonce });
    assert.equal(step.complete, true);
    const hidden = Buffer.from(step.encoded_root_token ?? step.encoded_token, 'base64');
    const token = Buffer.from(hidden.map((byte, at) => byte ^ otp.charCodeAt(at))).toString();
    const { data } = await client(token).tokenLookupSelf();
    assert.deepEqual(data.policies, ['root']);
});

test('the barrier key is rotated and what was written before still opens', async () => {
    const operator = client(made.root_token);
    await operator.write('cubbyhole/a', { k: 'v' });
    const { data: before } = await operator.read('sys/key-status');
    await operator.rotate();
    const { data: after } = await operator.read('sys/key-status');
    assert.equal(after.term, before.term + 1);
    assert.equal((await operator.read('cubbyhole/a')).data.k, 'v');
});

test('only who may seal seals, and the same shares open it again', async () => {
    await refused(nobody.seal(), 403);
    await client(made.root_token).seal();
    assert.equal((await nobody.status()).sealed, true);
    assert.equal((await nobody.health()).sealed, true);
    for (const at of [3, 0, 2]) await unsealed(at);
    assert.equal((await client(made.root_token).read('cubbyhole/a')).data.k, 'v');
    await client(made.root_token).stepDown();
});

/** Gives the share of this number; whether it is sealed then, and how far it is. */
async function unsealed(at) {
    const step = await nobody.unseal({ key: made.keys[at] });
    return [step.sealed, step.progress];
}
