// Both versions of KV, and a cubbyhole, by node-vault's plain words: read, write, update, list, delete.

import assert from 'node:assert/strict';
import test from 'node:test';

import { client, holder, refused, root } from './vault.js';

const vault = root();

test.before(async () => {
    await vault.mount({ mount_point: 'one', type: 'kv', options: { version: '1' } });
    await vault.mount({ mount_point: 'secret', type: 'kv', options: { version: '2' } });
});

test('version 1 keeps, lists and forgets', async () => {
    await refused(vault.read('one/a'), 404);
    await refused(vault.list('one'), 404);
    await vault.write('one/a', { word: 'ein Wört', deep: { er: [1, null, true] }, number: 1e21 });
    await vault.write('one/folder/b', { k: 'v' });
    const { data, lease_duration: life } = await vault.read('one/a');
    assert.deepEqual(data, { word: 'ein Wört', deep: { er: [1, null, true] }, number: 1e21 });
    assert.ok(life > 0);
    assert.deepEqual((await vault.list('one')).data.keys, ['a', 'folder/']);
    await vault.delete('one/a');
    await vault.delete('one/a');
    await refused(vault.read('one/a'), 404);
});

test('where a proxy lets no LIST pass, a list is a GET', async () => {
    await vault.write('one/folder/b', { k: 'v' });
    const plain = client(process.env.WARIFU_ROOT, { noCustomHTTPVerbs: true });
    assert.deepEqual((await plain.list('one/folder')).data.keys, ['b']);
});

test('version 2 counts versions, patches, and overwrites only what it was asked to', async () => {
    const { data: first } = await vault.write('secret/data/app', { data: { a: '1', b: '2' } });
    assert.equal(first.version, 1);
    await refused(vault.write('secret/data/app', { data: {}, options: { cas: 0 } }), 400, /check-and-set/);
    await vault.update('secret/data/app', { data: { b: null, c: '3' }, options: { cas: 1 } });
    const { data } = await vault.read('secret/data/app');
    assert.deepEqual(data.data, { a: '1', c: '3' });
    assert.equal(data.metadata.version, 2);
    assert.deepEqual((await vault.read('secret/data/app?version=1')).data.data, { a: '1', b: '2' });
    await refused(vault.update('secret/data/none', { data: { a: '1' } }), 404);
});

test('a version is deleted, brought back, and destroyed for good', async () => {
    await vault.write('secret/data/old', { data: { k: '1' } });
    await vault.write('secret/data/old', { data: { k: '2' } });
    await vault.delete('secret/data/old');
    await refused(vault.read('secret/data/old'), 404);
    await vault.write('secret/undelete/old', { versions: [2] });
    assert.equal((await vault.read('secret/data/old')).data.data.k, '2');
    await vault.destroySecretVersions({ path: 'old', versions: [1] });
    await refused(vault.read('secret/data/old?version=1'), 404);
    await vault.write('secret/undelete/old', { versions: [1] });
    await refused(vault.read('secret/data/old?version=1'), 404);
    const { data } = await vault.read('secret/metadata/old');
    assert.deepEqual([data.versions['1'].destroyed, data.versions['2'].destroyed], [true, false]);
    assert.deepEqual((await vault.list('secret/metadata')).data.keys.includes('old'), true);
    await vault.delete('secret/metadata/old');
    await refused(vault.read('secret/metadata/old'), 404);
});

test('a cubbyhole is the token\'s own and goes with it', async () => {
    const [mine, auth] = await holder({ policies: ['default'] });
    await mine.write('cubbyhole/a', { k: 'mine' });
    await refused(vault.read('cubbyhole/a'), 404);
    assert.equal((await mine.read('cubbyhole/a')).data.k, 'mine');
    await vault.tokenRevokeAccessor({ accessor: auth.accessor });
    await refused(mine.read('cubbyhole/a'), 403);
});

test('a path that is not one is refused before anything is looked up', async () => {
    for (const path of ['secret/data//a', 'secret/data/a%00b', 'secret/data/a%252fb']) await refused(vault.read(path), 400);
});
