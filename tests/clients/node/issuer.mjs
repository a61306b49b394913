// An OpenID provider for the tests: oidc-provider with people, groups, a page to log in and to consent, and tokens for CI jobs.
//
//     node issuer.mjs < settings     settings as JSON: {"port", "modules", "clients", "people"}
//
// It listens on 127.0.0.1 alone and says `ready` once it does. Two endpoints are not of a real issuer: `POST /ci` with claims gives the
// token that a CI server of that kind hands its job, as a JWT access token of the client credentials grant; `POST /clock` moves the issuer's clock.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(readFileSync(0, 'utf8'));
const issuer = `http://127.0.0.1:${settings.port}`;
const { Provider } = await import(pathToFileURL(`${settings.modules}/oidc-provider/lib/index.js`));

const trueNow = Date.now;
let ahead = 0;
Date.now = () => trueNow() + ahead;

const key = (kid) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' };
};

// What the next job's token is to say. The grant itself knows nothing of jobs.
let job = null;

const provider = new Provider(issuer, {
  jwks: { keys: [key('k1')] },
  clients: settings.clients.map((client) => ({ id_token_signed_response_alg: 'ES256', ...client })),
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  claims: { openid: ['sub'], profile: ['name'], groups: ['groups'] },
  cookies: { keys: ['of a test'] },
  pkce: { required: () => true },
  ttl: {
    AccessToken: 600, AuthorizationCode: 60, ClientCredentials: 600, Grant: 600, IdToken: 600, Interaction: 600, Session: 600,
  },
  findAccount: (_, id) => settings.people[id] && { accountId: id, claims: () => ({ sub: id, ...settings.people[id] }) },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, audience) => ({ audience, scope: '', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
  formats: { customizers: { jwt: (_, token, jwt) => { if (job) { Object.assign(jwt.payload, job); } } } },
});

const body = async (request) => {
  let text = '';
  for await (const part of request) { text += part; }
  return text;
};

const page = (response, title, fields) => {
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(`<!doctype html><title>${title}</title><h1>${title}</h1><form method="post">${fields}</form>`);
};

const interact = async (request, response) => {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    return prompt.name === 'login'
      ? page(response, 'Who are you?', '<input name="login"><button name="do" value="login">Go on</button>')
      : page(response, 'Let it in?', '<button name="do" value="consent">Yes</button><button name="do" value="deny">No</button>');
  }
  const form = new URLSearchParams(await body(request));
  if (form.get('do') === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: form.get('login') } });
  }
  if (form.get('do') === 'deny') {
    const error = { error: 'access_denied', error_description: 'the person said no' };
    return provider.interactionFinished(request, response, error);
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const grantId = await grant.save();
  return provider.interactionFinished(request, response, { consent: { grantId } }, { mergeWithLastSubmission: true });
};

// A request to ourselves, as the CI server's own.
const token = async (audience) => {
  const { client_id: id, client_secret: secret } = settings.clients.find((client) => client.grant_types?.includes('client_credentials'));
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
  });
  return (await answer.json()).access_token;
};

const handle = provider.callback();
const server = createServer(async (request, response) => {
  try {
    if (request.url.startsWith('/interaction/')) { await interact(request, response); return; }
    if (request.url === '/clock') {
      ahead = JSON.parse(await body(request)).seconds * 1000;
      response.end();
      return;
    }
    if (request.url === '/ci') {
      job = JSON.parse(await body(request));
      const made = await token('urn:ci');
      job = null;
      response.end(made);
      return;
    }
    await handle(request, response);
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    response.end();
  }
});
server.listen(settings.port, '127.0.0.1', () => console.log('ready'));
