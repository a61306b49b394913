// A login by node-vault with a TLS certificate of our own CA, and without one. The server speaks TLS here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { client, refused } from './vault.js';

const ca = readFileSync(process.env.WARIFU_CA);
const by = (token, tls = {}) => client(token, { requestOptions: { ca, ...tls } });
const vault = by(process.env.WARIFU_ROOT);
let authority;

test.before(async () => {
    await vault.mount({ mount_point: 'pki', type: 'pki' });
    authority = (await vault.write('pki/root/generate/internal', { common_name: 'CA', key_type: 'ec' })).data.certificate;
    await vault.write('pki/roles/client', { allow_any_name: true, key_type: 'ec', ttl: '1h', server_flag: false });
    await vault.enableAuth({ mount_point: 'cert', type: 'cert' });
    await vault.write('auth/cert/certs/web', { certificate: authority, allowed_common_names: 'web-*', token_policies: 'default' });
});

async function issued(name) {
    const { data } = await vault.write('pki/issue/client', { common_name: name });
    return { cert: `${data.certificate}\n${authority}`, key: data.private_key };
}

test('a certificate logs in, and its token is renewed with it alone', async () => {
    const tls = await issued('web-1');
    const web = by(undefined, tls);
    // node-vault can name no role here: the server looks through all.
    await web.certLogin();
    assert.equal((await web.tokenLookupSelf()).data.meta.common_name, 'web-1');
    await refused(by(web.token).tokenRenewSelf(), 400);
    await refused(by(web.token, await issued('web-1')).tokenRenewSelf(), 400);
    await web.tokenRenewSelf();
});

test('without a certificate, and with another name in it, there is no login', async () => {
    await refused(by(undefined).certLogin(), 400);
    await refused(by(undefined, await issued('db-1')).certLogin(), 400);
});

test('a client that does not know the server\'s authority does not speak to it', async () => {
    await assert.rejects(client(process.env.WARIFU_ROOT).mounts(), /self-signed certificate|unable to verify/);
});
