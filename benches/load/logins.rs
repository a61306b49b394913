//! Logins that leave nothing behind, beside what they are made of; and reads while many try passwords.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Connection, Target, request};
use crate::drive::each;
use crate::limits::{Work, one_core};
use crate::options::Options;
use crate::process;
use crate::report::{Goal, Report, median};
use crate::rounds::{Series, load};
use crate::server::{Axum, Server, text};
use crate::setup::{Requests, Setup};
use crate::side::Side;

/// Signed tokens that are sent around, each of another subject.
const TOKENS: usize = 1000;
/// Clients that try passwords: one half for users that exist, each client for its own.
const GUESSERS: usize = 200;

/// Takes all of it.
pub async fn methods(options: &Options, report: &mut Report) -> Result<()> {
    let Side { server, setup } = Side::make(options, "logins").await?;
    let methods = Methods::make(&server, &setup).await?;
    let axum = Axum::start(&options.folder, &setup.answer)?;
    let (mut jwt, mut approle, mut reads) = (Series::default(), Series::default(), Series::default());
    let (mut commits, mut tries) = (Vec::new(), Vec::new());
    let (target, pid) = (&server.target, server.child.pid());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let verified = one_core(Work::Check, options.time / 6)?;
        let before = methods.commits(&server).await?;
        let signed = load("jwt login, batch token", target, pid, &methods.jwt, options.time).await?;
        let bare = load("bare axum", &axum.target, axum.child.pid(), &setup.read, options.time).await?.rate;
        let machines = load("approle login, batch token", target, pid, &methods.approle, options.time).await?;
        let made = (signed.rate + machines.rate) * options.time.as_secs_f64();
        commits.push((methods.commits(&server).await? - before) / made * 1000.0);
        jwt.add(&signed, verified);
        approle.add(&machines, bare);

        let alone = load("kv read", target, pid, &setup.read, options.time).await?.rate;
        let guessers = Guessers::begin(target, round).await?;
        let beside = load("kv read, beside passwords", target, pid, &setup.read, options.time).await?;
        tries.push(guessers.end().await?);
        reads.add(&beside, alone);
        idle(pid).await?;
    }
    report.push(jwt.row("jwt login, batch token / one core's verify", Goal::Least(0.20)));
    report.push(approle.row("approle login, batch token / bare axum", Goal::Least(0.15)));
    // The server's own deeds of every minute are among them.
    report.plain("commits for a thousand of these logins", median(&commits), "", Goal::Most(0.5));
    report.push(reads.row("kv v2 read, 200 trying passwords / alone", Goal::Least(0.50)));
    report.plain("passwords that were tried meanwhile", median(&tries), "/s", Goal::None);
    server.stop().map(drop)
}

/// The logins that are measured.
struct Methods {
    jwt: Requests,
    approle: Requests,
    root: String,
}

impl Methods {
    /// Makes the methods, and everybody known once.
    async fn make(server: &Server, setup: &Setup) -> Result<Self> {
        let root = setup.root.clone();
        let mut to = server.connect().await?;
        let mut post = async |path: &str, body: Value| to.call("POST", path, Some(&root), Some(body)).await;
        for kind in ["jwt", "approle", "userpass"] {
            post(&format!("sys/auth/batch-{kind}"), json!({ "type": kind })).await?;
        }
        let key = Key::make()?;
        post("auth/batch-jwt/config", json!({ "jwt_validation_pubkeys": [key.pem()] })).await?;
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["warifu"], "bound_claims": { "ref": "main" },
            "claim_mappings": { "project": "project", "ref": "ref" },
            "token_policies": ["bench"], "token_ttl": "10m", "token_type": "batch",
        });
        post("auth/batch-jwt/role/job", role).await?;
        let jwt = (0..TOKENS).map(|number| {
            let body = json!({ "role": "job", "jwt": key.job(number)? }).to_string();
            Ok(request("POST", "auth/batch-jwt/login", None, Some(body.as_bytes())))
        });
        let jwt = jwt.collect::<Result<Vec<_>>>()?.into();

        let role = json!({
            "token_policies": ["bench"], "token_ttl": "10m", "token_type": "batch", "token_num_uses": 0, "secret_id_num_uses": 0,
        });
        post("auth/batch-approle/role/host", role).await?;
        let secret = post("auth/batch-approle/role/host/secret-id", json!({})).await?;
        for number in 0..GUESSERS / 2 {
            let user = json!({ "password": format!("the right one of {number}"), "token_policies": "bench" });
            post(&format!("auth/batch-userpass/users/user-{number}"), user).await?;
        }
        // Who is locked out costs nothing: all of these are to be checked.
        let tune = json!({ "user_lockout_config": { "lockout_threshold": 1_000_000 } });
        post("sys/auth/batch-userpass/tune", tune).await?;
        let id = to.call("GET", "auth/batch-approle/role/host/role-id", Some(&root), None).await?;
        let body = json!({ "role_id": text(&id, "/data/role_id")?, "secret_id": text(&secret, "/data/secret_id")? });
        let login = request("POST", "auth/batch-approle/login", None, Some(body.to_string().as_bytes()));
        let methods = Self { jwt, approle: Arc::new([login]), root };
        // A first login makes an entity; those that follow find it.
        for requests in [&methods.jwt, &methods.approle] {
            each(&server.target, requests.len(), 8, &|index| requests[index].clone(), &|_| Ok(())).await?;
        }
        Ok(methods)
    }

    /// How many commits the server has made.
    async fn commits(&self, server: &Server) -> Result<f64> {
        let mut to = server.connect().await?;
        to.send(&request("GET", "sys/metrics?format=prometheus", Some(&self.root), None)).await?;
        let told = std::str::from_utf8(to.body())?;
        let line = told.lines().find_map(|line| line.strip_prefix("vault_barrier_put_count"));
        Ok(line.ok_or("the metrics have no count of commits")?.trim().parse()?)
    }
}

/// The key of an issuer of tokens.
struct Key {
    pair: EcdsaKeyPair,
    rng: SystemRandom,
}

impl Key {
    fn make() -> Result<Self> {
        let (rng, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).map_err(|_| "ring refuses")?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &rng).map_err(|_| "ring refuses")?;
        Ok(Self { pair, rng })
    }

    /// Its public half in PEM: what says "a point of P-256", and the point.
    fn pem(&self) -> String {
        const P256: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let der = [&P256, self.pair.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// The token of a CI job, good for a day.
    fn job(&self, number: usize) -> Result<String> {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let claims = json!({
            "iss": "https://ci.example.test", "aud": "warifu", "iat": now, "nbf": now, "exp": now + 86_400, "jti": format!("job-{number}"),
            "sub": format!("project_path:shop/{number}:ref_type:branch:ref:main"), "project": number.to_string(), "ref": "main",
        });
        let parts =
            [json!({ "alg": "ES256", "typ": "JWT" }), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = parts.join(".");
        let signature = self.pair.sign(&self.rng, signed.as_bytes()).map_err(|_| "ring refuses")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Clients that try passwords until they are told to end.
struct Guessers {
    end: watch::Sender<bool>,
    begun: std::time::Instant,
    tasks: JoinSet<Result<u64>>,
}

impl Guessers {
    async fn begin(target: &Target, round: usize) -> Result<Self> {
        let (end, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for number in 0..GUESSERS {
            let name =
                if number % 2 == 0 { format!("user-{}", number / 2) } else { format!("nobody-{round}-{number}") };
            let connection = Connection::open(target).await?;
            tasks.spawn(guess(connection, name, ended.clone()));
        }
        let begun = std::time::Instant::now();
        // So long that there is always one to be checked.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(Self { end, begun, tasks })
    }

    /// How many were tried in a second.
    async fn end(mut self) -> Result<f64> {
        let time = self.begun.elapsed().as_secs_f64();
        self.end.send(true)?;
        let mut tried = 0;
        while let Some(done) = self.tasks.join_next().await {
            tried += done??;
        }
        Ok(tried as f64 / time)
    }
}

/// Waits until a server has nothing more to do: it checks also the passwords whose clients have gone.
async fn idle(pid: u32) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(200);
    loop {
        let before = process::cpu(pid)?;
        tokio::time::sleep(LOOK).await;
        if process::cpu(pid)?.saturating_sub(before) < LOOK / 5 {
            return Ok(());
        }
    }
}

async fn guess(mut connection: Connection, name: String, mut ended: watch::Receiver<bool>) -> Result<u64> {
    let mut tried = 0;
    loop {
        let body = json!({ "password": format!("guess {tried}") }).to_string();
        let guess = request("POST", &format!("auth/batch-userpass/login/{name}"), None, Some(body.as_bytes()));
        tokio::select! {
            status = connection.send(&guess) => match status? {
                400 => tried += 1,
                other => return Err(format!("a wrong password was answered with {other}").into()),
            },
            // One that is still under way is given up.
            _ = ended.wait_for(|ended| *ended) => return Ok(tried),
        }
    }
}
