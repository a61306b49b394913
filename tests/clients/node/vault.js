// What every script here stands on: node-vault from .cache/node, and the server that test_node_vault.py has started.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const nodeVault = createRequire(`${process.env.NODE_MODULES}/`)('node-vault');

export const url = process.env.WARIFU_URL;

/** A client with this token; without one it is nobody. */
export function client(token, more = {}) {
    return nodeVault({ endpoint: url, token: token ?? 'none', ...more });
}

/** A client with the root token. */
export const root = () => client(process.env.WARIFU_ROOT);

/** A client of its own for a new token, which is not the one that made it: node-vault takes over what it creates. */
export async function holder(args) {
    const { auth } = await root().tokenCreate(args);
    return [client(auth.client_token), auth];
}

/** The call is refused with this status. */
export async function refused(call, status, message = /./) {
    await assert.rejects(call, (error) => {
        assert.equal(error.response?.statusCode, status, error.stack);
        assert.match(error.message, message);
        return true;
    });
}
