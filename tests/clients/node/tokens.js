// Tokens by node-vault: made, looked up, renewed by hand and by its own clockwork, revoked; roles; answers that are wrapped.

import assert from 'node:assert/strict';
import test from 'node:test';

import { client, holder, refused, root } from './vault.js';

const vault = root();

test('a token has what it was made with and no more', async () => {
    const [mine, auth] = await holder({ policies: ['default'], ttl: '1h', display_name: 'node', meta: { team: 'a' }, renewable: true });
    assert.deepEqual(auth.policies, ['default']);
    const { data } = await mine.tokenLookupSelf();
    assert.deepEqual([data.display_name, data.meta.team, data.orphan, data.num_uses], ['token-node', 'a', false, 0]);
    assert.equal((await vault.tokenLookup({ token: auth.client_token })).data.accessor, auth.accessor);
    const found = await vault.tokenLookupAccessor({ accessor: auth.accessor });
    assert.equal(found.data.id, '', 'an accessor does not tell the token');
    assert.ok((await vault.tokenAccessors()).data.keys.includes(auth.accessor));
    await refused(mine.tokenAccessors(), 403);
    await refused(mine.tokenCreate({ policies: ['root'] }), 403);
});

test('a child ends with its parent, an orphan does not', async () => {
    await vault.addPolicy({ name: 'maker', rules: 'path "auth/token/create*" { capabilities = ["update", "sudo"] }' });
    const [parent, auth] = await holder({ policies: ['maker', 'default'] });
    const child = await client(auth.client_token).tokenCreate({ policies: ['default'] });
    const orphan = await client(auth.client_token).tokenCreateOrphan({ policies: ['default'] });
    await parent.tokenRevokeSelf();
    await refused(client(child.auth.client_token).tokenLookupSelf(), 403);
    await client(orphan.auth.client_token).tokenLookupSelf();
});

test('revoking without the children leaves them', async () => {
    const [, auth] = await holder({ policies: ['maker', 'default'] });
    const child = await client(auth.client_token).tokenCreate({ policies: ['default'] });
    await vault.tokenRevokeOrphan({ token: auth.client_token });
    await refused(client(auth.client_token).tokenLookupSelf(), 403);
    const { data } = await client(child.auth.client_token).tokenLookupSelf();
    assert.equal(data.orphan, true);
    await vault.tokenRevoke({ token: child.auth.client_token });
    await refused(client(child.auth.client_token).tokenLookupSelf(), 403);
});

test('a token of two uses is used twice', async () => {
    const [mine] = await holder({ policies: ['default'], num_uses: 2 });
    await mine.tokenLookupSelf();
    await mine.tokenLookupSelf();
    await refused(mine.tokenLookupSelf(), 403);
});

test('a token is renewed up to its explicit end', async () => {
    const [mine, auth] = await holder({ policies: ['default'], ttl: '5m', explicit_max_ttl: '10m' });
    assert.ok((await mine.tokenRenewSelf({ increment: 3600 })).auth.lease_duration <= 600);
    const other = root();
    assert.ok((await other.tokenRenew({ token: auth.client_token, increment: '2m' })).auth.lease_duration <= 120);
    const [fixed] = await holder({ policies: ['default'], ttl: '5m', renewable: false });
    await refused(fixed.tokenRenewSelf(), 400, /not renewable/);
});

test('the clockwork of the client keeps a token alive and says when it is gone', async () => {
    const [mine, auth] = await holder({ policies: ['default'], ttl: '2s' });
    const renewed = new Promise((resolve, reject) => { mine.once('token:renewed', resolve).once('token:error:renew', reject); });
    await mine.startTokenRenewal({ ttl: 1, increment: 60 });
    assert.equal((await within(renewed)).auth.lease_duration, 60);
    mine.stopTokenRenewal();
    const failed = new Promise((resolve) => { mine.once('token:error:renew', resolve); });
    await vault.tokenRevokeAccessor({ accessor: auth.accessor });
    await mine.startTokenRenewal({ ttl: 1 });
    assert.equal((await within(failed)).response.statusCode, 403);
    mine.stopAllRenewals();
});

test('a role bounds the tokens that are made by it', async () => {
    await vault.addTokenRole({ role_name: 'job', allowed_policies: 'default', orphan: true, period: 60, renewable: true });
    assert.ok((await vault.tokenRoles()).data.keys.includes('job'));
    assert.equal((await vault.getTokenRole({ role_name: 'job' })).data.token_period, 60);
    const { auth } = await root().tokenCreateRole({ role_name: 'job' });
    assert.deepEqual([auth.orphan, auth.lease_duration], [true, 60]);
    await refused(root().tokenCreateRole({ role_name: 'job', policies: ['maker'] }), 400);
    await vault.removeTokenRole({ role_name: 'job' });
    await refused(root().tokenCreateRole({ role_name: 'job' }), 400);
});

test('a wrapped answer is opened once', async () => {
    const wrapping = { headers: { 'X-Vault-Wrap-TTL': '1m' } };
    await vault.write('cubbyhole/w', { k: 'in the box' });
    const { wrap_info: box, data } = await vault.read('cubbyhole/w', wrapping);
    assert.equal(data, null);
    assert.equal(box.creation_path, 'cubbyhole/w');
    assert.equal((await vault.write('sys/wrapping/lookup', { token: box.token })).data.creation_ttl, 60);
    assert.equal((await client(box.token).unwrap()).data.k, 'in the box');
    await refused(client(box.token).unwrap(), 400, /wrapping token is not valid/);
    const second = await vault.read('cubbyhole/w', wrapping);
    assert.equal((await vault.unwrap({ token: second.wrap_info.token })).data.k, 'in the box');
    await refused(vault.unwrap({ token: second.wrap_info.token }), 400);
    // The box's token opens nothing else.
    const third = await vault.read('cubbyhole/w', wrapping);
    await refused(client(third.wrap_info.token).mounts(), 403);
});

function within(promise) {
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('nothing happened')), 15000); });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
