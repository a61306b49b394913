// What an operator does under sys/ by node-vault: policies, mounts, auth methods, audit devices, leases.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { client, holder, refused, root } from './vault.js';

const vault = root();
const RULES = 'path "kv/*" { capabilities = ["read"] }';

test('a policy is written, listed, read, followed and removed', async () => {
    await refused(vault.addPolicy({ name: 'readers', rules: 'path {' }), 400);
    await vault.addPolicy({ name: 'readers', rules: RULES });
    assert.ok((await vault.policies()).policies.includes('readers'));
    assert.equal((await vault.getPolicy({ name: 'readers' })).rules, RULES);
    await vault.mount({ mount_point: 'kv', type: 'kv' });
    await vault.write('kv/a', { k: 'v' });
    const [reader] = await holder({ policies: ['readers'] });
    assert.equal((await reader.read('kv/a')).data.k, 'v');
    await refused(reader.write('kv/a', { k: 'w' }), 403, /permission denied/);
    await refused(reader.mounts(), 403);
    await vault.removePolicy({ name: 'readers' });
    await refused(reader.read('kv/a'), 403);
    await refused(vault.removePolicy({ name: 'root' }), 400);
});

test('a mount is made, moved with what is in it, and taken away', async () => {
    await vault.mount({ mount_point: 'here', type: 'kv', description: 'ours', config: { default_lease_ttl: '1h' } });
    await refused(vault.mount({ mount_point: 'here', type: 'kv' }), 400, /path is already in use/);
    await refused(vault.mount({ mount_point: 'there', type: 'none-such' }), 400);
    await refused(vault.mount({ mount_point: 'sys/mine', type: 'kv' }), 400);
    await vault.write('here/a', { k: 'v' });
    const { data } = await vault.mounts();
    assert.deepEqual([data['here/'].type, data['here/'].description, data['here/'].config.default_lease_ttl], ['kv', 'ours', 3600]);
    await vault.remount({ from: 'here', to: 'there' });
    await refused(vault.read('here/a'), 404);
    await eventually(async () => (await vault.read('there/a')).data.k === 'v');
    await vault.unmount({ mount_point: 'there' });
    await refused(vault.read('there/a'), 404);
});

test('an auth method is enabled, listed and disabled, and its tokens end with it', async () => {
    await vault.enableAuth({ mount_point: 'people', type: 'userpass', description: 'people' });
    assert.equal((await vault.auths()).data['people/'].type, 'userpass');
    await vault.write('auth/people/users/ann', { password: 'a password', token_policies: 'default' });
    const ann = client();
    await ann.userpassLogin({ mount_point: 'people', username: 'ann', password: 'a password' });
    await ann.tokenLookupSelf();
    await vault.disableAuth({ mount_point: 'people' });
    await eventually(async () => ann.tokenLookupSelf().then(() => false, (error) => error.response.statusCode === 403));
    await refused(client().userpassLogin({ mount_point: 'people', username: 'ann', password: 'a password' }), 403);
});

test('an audit device writes what happens and never what is secret', async () => {
    const file = `${process.env.FOLDER}/node-audit.log`;
    await vault.enableAudit({ name: 'node', type: 'file', options: { file_path: file } });
    assert.equal((await vault.audits()).data['node/'].type, 'file');
    await vault.write('cubbyhole/a', { k: 'a-word-nobody-may-see' });
    await vault.disableAudit({ name: 'node' });
    const text = readFileSync(file, 'utf8');
    assert.ok(text.includes('"cubbyhole/a"'));
    assert.ok(!text.includes('a-word-nobody-may-see') && !text.includes(process.env.WARIFU_ROOT));
});

test('a lease is renewed, revoked by its id, and by its prefix', async () => {
    await vault.mount({ mount_point: 'pki', type: 'pki' });
    await vault.write('pki/root/generate/internal', { common_name: 'CA', key_type: 'ec' });
    await vault.write('pki/roles/web', { allow_any_name: true, key_type: 'ec', generate_lease: true, ttl: '1h' });
    const issue = () => vault.write('pki/issue/web', { common_name: 'a.test' });
    const one = await issue();
    assert.match(one.lease_id, /^pki\/issue\/web\/\w+$/);
    // A certificate's end stands in it: it cannot be moved.
    await refused(vault.renew({ lease_id: one.lease_id, increment: 60 }), 400, /not renewable/);
    await vault.revoke({ lease_id: one.lease_id });
    await eventually(async () => (await vault.read(`pki/cert/${one.data.serial_number}`)).data.revocation_time > 0);
    const two = await issue();
    await vault.revokePrefix({ path_prefix: 'pki/issue/web' });
    await eventually(async () => (await vault.read(`pki/cert/${two.data.serial_number}`)).data.revocation_time > 0);
    await refused(vault.renew({ lease_id: two.lease_id }), 400);
});

test('help is told to who may ask', async () => {
    const { help } = await vault.help('sys/mounts');
    assert.ok(help.length > 20);
    await refused(client().help('sys/mounts'), 403);
});

async function eventually(what) {
    for (let left = 200; left > 0; left -= 1) {
        if (await what()) return;
        await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    assert.fail('it did not happen in time');
}
