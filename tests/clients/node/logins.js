// Logins by node-vault: userpass, AppRole, JWT, Kubernetes (its API server is a stand-in here), and a TLS certificate.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import test from 'node:test';

import { client, refused, root } from './vault.js';

const vault = root();

test('a password logs in, a wrong one and a stranger are told the same', async () => {
    await vault.enableAuth({ mount_point: 'userpass', type: 'userpass' });
    await vault.write('auth/userpass/users/ann', { password: 'a password', token_policies: 'default' });
    const ann = client();
    await ann.userpassLogin({ username: 'ann', password: 'a password' });
    const { data } = await ann.tokenLookupSelf();
    assert.deepEqual([data.display_name, data.meta.username], ['userpass-ann', 'ann']);
    for (const username of ['ann', 'bob']) {
        await refused(client().userpassLogin({ username, password: 'another' }), 400, /^invalid username or password$/);
    }
});

test('an AppRole logs in with its two halves, and every handle of a secret id works', async () => {
    await vault.enableAuth({ mount_point: 'approle', type: 'approle' });
    await vault.addApproleRole({ role_name: 'web', policies: 'default', token_ttl: 600, secret_id_num_uses: 2 });
    assert.deepEqual((await vault.approleRoles()).data.keys, ['web']);
    assert.deepEqual((await vault.getApproleRole({ role_name: 'web' })).data.token_policies, ['default']);
    await vault.updateApproleRoleId({ role_name: 'web', role_id: 'role-of-web' });
    const { role_id: roleId } = (await vault.getApproleRoleId({ role_name: 'web' })).data;
    assert.equal(roleId, 'role-of-web');
    const secret = async () => (await vault.getApproleRoleSecret({ role_name: 'web', metadata: '{"host": "a"}' })).data;

    const first = await secret();
    const workload = client();
    await workload.approleLogin({ role_id: roleId, secret_id: first.secret_id });
    assert.equal((await workload.tokenLookupSelf()).data.meta.host, 'a');
    await client().approleLogin({ role_id: roleId, secret_id: first.secret_id });
    await refused(client().approleLogin({ role_id: roleId, secret_id: first.secret_id }), 400, /invalid role or secret ID/);
    await refused(client().approleLogin({ role_id: 'none', secret_id: first.secret_id }), 400, /invalid role or secret ID/);

    const second = await secret();
    assert.deepEqual((await vault.approleSecretAccessors({ role_name: 'web' })).data.keys, [second.secret_id_accessor]);
    const { data } = await vault.approleSecretLookup({ role_name: 'web', secret_id: second.secret_id });
    assert.equal(data.secret_id_accessor, second.secret_id_accessor);
    await vault.approleSecretAccessorLookup({ role_name: 'web', secret_id_accessor: second.secret_id_accessor });
    await vault.approleSecretDestroy({ role_name: 'web', secret_id: second.secret_id });
    await refused(client().approleLogin({ role_id: roleId, secret_id: second.secret_id }), 400);

    const third = await secret();
    await vault.approleSecretAccessorDestroy({ role_name: 'web', secret_id_accessor: third.secret_id_accessor });
    await refused(client().approleLogin({ role_id: roleId, secret_id: third.secret_id }), 400);
    await vault.deleteApproleRole({ role_name: 'web' });
    await refused(vault.getApproleRole({ role_name: 'web' }), 404);
});

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = keys.publicKey.export({ type: 'spki', format: 'pem' });
const seconds = () => Math.floor(Date.now() / 1000);

/** A JWT of these claims, by ES256. */
function signed(claims, key = keys.privateKey) {
    const text = [{ alg: 'ES256', typ: 'JWT' }, { iat: seconds(), exp: seconds() + 600, ...claims }]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    return `${text}.${sign('sha256', text, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

test('a signed token logs in, and one for others or by others does not', async () => {
    await vault.enableAuth({ mount_point: 'jwt', type: 'jwt' });
    await vault.write('auth/jwt/config', { jwt_validation_pubkeys: [pem] });
    const role = { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['warifu'], token_policies: ['default'] };
    await vault.write('auth/jwt/role/job', role);
    const job = client();
    await job.jwtLogin({ role: 'job', jwt: signed({ sub: 'job-7', aud: 'warifu' }) });
    assert.equal((await job.tokenLookupSelf()).data.display_name, 'jwt-job-7');
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    for (const jwt of [
        signed({ sub: 'job-7', aud: 'others' }),
        signed({ sub: 'job-7' }),
        signed({ sub: 'job-7', aud: 'warifu', exp: seconds() - 3600 }),
        signed({ sub: 'job-7', aud: 'warifu' }, stranger),
    ]) await refused(client().jwtLogin({ role: 'job', jwt }), 400);
});

test('a pod logs in with what its cluster vouches for', async (t) => {
    const claims = {
        sub: 'system:serviceaccount:prod:app', aud: ['vault'], iss: 'kubernetes',
        'kubernetes.io': { namespace: 'prod', serviceaccount: { name: 'app', uid: 'u' } },
    };
    const good = signed(claims);
    const cluster = createServer(async (request, response) => {
        let text = '';
        for await (const chunk of request) text += chunk;
        const authenticated = JSON.parse(text).spec.token === good;
        const user = { username: claims.sub, uid: 'u', groups: ['system:serviceaccounts', 'system:authenticated'] };
        const status = authenticated ? { authenticated, audiences: claims.aud, user } : { authenticated };
        response.writeHead(201, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', status }));
    });
    await new Promise((resolve) => { cluster.listen(0, '127.0.0.1', resolve); });
    t.after(() => cluster.close());
    await vault.enableAuth({ mount_point: 'k8s', type: 'kubernetes' });
    await vault.write('auth/k8s/config', { kubernetes_host: `http://127.0.0.1:${cluster.address().port}`, disable_local_ca_jwt: true });
    // node-vault finds a mount only by an argument of each call, and its addKubernetesRole stumbles over its own schema.
    const role = { mount_point: 'k8s', role_name: 'app' };
    await vault.write('auth/k8s/role/app', {
        bound_service_account_names: ['app'], bound_service_account_namespaces: ['prod'], audience: 'vault', token_policies: ['default'],
    });
    const pod = client();
    const login = (who, jwt) => who.kubernetesLogin({ mount_point: 'k8s', role: 'app', jwt });
    await login(pod, good);
    assert.equal((await pod.tokenLookupSelf()).data.meta.service_account_name, 'app');
    await refused(login(client(), signed({ ...claims, jti: 'x' })), 400);
    assert.deepEqual((await vault.getKubernetesRole(role)).data.bound_service_account_names, ['app']);
    await vault.deleteKubernetesRole(role);
    await refused(login(client(), good), 400);
});
