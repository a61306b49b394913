//! Every bound of the server, with its reason.

/// Largest request body, in bytes: Vault's default.
pub const BODY_BYTES: usize = 32 << 20;
/// What all large bodies may take of memory together, with what is parsed out of them: eight of the largest. More wait.
pub const BODIES_BYTES: usize = 8 * BODY_BYTES;
/// Deepest nesting of a JSON body. Real ones stay under ten; the stack stays small.
pub const JSON_DEPTH: usize = 128;
/// Most values (and keys) of one JSON body: each costs some 50 bytes of memory on top of its text.
pub const JSON_VALUES: usize = 200_000;
/// Longest request path after decoding, in bytes.
pub const PATH_BYTES: usize = 4096;
/// Longest single path segment, in bytes.
pub const SEGMENT_BYTES: usize = 1024;
/// Most segments of a path.
pub const PATH_SEGMENTS: usize = 64;
/// Longest name of a role, policy, user or the like, in bytes.
pub const NAME_BYTES: usize = 512;
/// Longest token that is looked at, in bytes. Ours have 95 or, for batch tokens, below 2 KiB.
pub const TOKEN_BYTES: usize = 8192;
/// Largest sum of the request's header bytes.
pub const HEADER_BYTES: usize = 32 << 10;
/// Most query parameters of a request.
pub const QUERY_PARAMETERS: usize = 256;
/// Rows touched by one step of background work or one page of a scan.
pub const BATCH_KEYS: usize = 500;
/// Batches waiting for the writer; beyond it, callers wait for room.
pub const WRITE_QUEUE: usize = 4096;
/// Batches that share one commit. More would make the first of them wait for the last.
pub const WRITE_GROUP: usize = 512;
/// Bytes that share one commit.
pub const WRITE_GROUP_BYTES: usize = 64 << 20;
/// Largest stored value, in bytes: a body's limit and room for what an engine adds.
pub const VALUE_BYTES: usize = BODY_BYTES + (1 << 20);
/// Commits that the change feed remembers; a reader further behind drops all its caches.
pub const FEED_COMMITS: usize = 4096;
/// How often a request is run again when another writer was faster.
pub const CONFLICT_RETRIES: usize = 24;
/// Slots of the session cache: three times the clients of the model user, a few MiB at most.
pub const SESSION_SLOTS: usize = 4096;
/// Folders of the store whose decrypted names are kept, for what is told of changes.
pub const FOLDER_CACHE: usize = 256;
/// Compiled policies that sessions share: one for each role and entity at work, a MiB or two.
pub const SHARED_ACLS: usize = 512;
/// Rows of the store that are kept as they lie there: at some 700 bytes each, and 2 KiB at most on the average, a few MiB.
pub const ROW_CACHE: usize = 8192;
/// Keys whose encrypted names are kept: at some 300 bytes each a good MiB.
pub const NAME_CACHE: usize = 4096;
/// Entities and their policies that a node keeps at hand.
pub const MOUNTS: usize = 10_000;
/// Most policies of one token.
pub const TOKEN_POLICIES: usize = 256;
/// Largest text of one policy, in bytes.
pub const POLICY_BYTES: usize = 1 << 20;
/// Most policies that are read or applied at once: a directory has some hundreds, and all of them are in one answer.
pub const POLICIES_AT_ONCE: usize = 5000;
/// Most bytes of all their texts together: half of what a body may have.
pub const POLICIES_BYTES: usize = BODY_BYTES / 2;
/// Most sets of policies in use that one answer lists.
pub const POLICY_SETS: usize = 1000;
/// Longest id of a commit that is kept with what was applied.
pub const COMMIT_BYTES: usize = 128;
/// Most metadata pairs of a token or an alias.
pub const METADATA_PAIRS: usize = 64;
/// Longest key or value of metadata, in bytes.
pub const METADATA_BYTES: usize = 512;
/// Connections that one listener serves at once; the next waits in the kernel's queue.
pub const CONNECTIONS: usize = 8192;
/// Seconds that one request waits for a change at most: below what proxies and clients take for a dead connection.
pub const WATCH_SECONDS: u64 = 55;
/// Requests that wait for a change at once: each agent has one.
pub const WATCHES: usize = 4096;
/// Those of one token: one that waits, and one that takes its place with another set of paths.
pub const WATCHES_OF_TOKEN: usize = 4;
/// Paths that one of them names: a large set of templates reads some dozens.
pub const WATCH_PATHS: usize = 256;
/// Rows that all of them look at, at some 300 bytes each.
pub const WATCH_ROWS: usize = 65_536;
/// Connections that wait in the kernel's queue until one listener accepts them: as many as the kernel allows by itself.
pub const BACKLOG: u32 = 4096;
/// Requests at work in the node at once.
pub const IN_FLIGHT: usize = 16_384;
/// Seconds that a client may take for its TLS handshake.
pub const HANDSHAKE_SECONDS: u64 = 10;
/// Seconds that a client may take to send its headers.
pub const HEADER_SECONDS: u64 = 10;
/// Seconds that a client may take to send its body.
pub const BODY_SECONDS: u64 = 30;
/// Seconds that one request may take in all, as Vault's default.
pub const REQUEST_SECONDS: u64 = 90;
/// Seconds that requests in flight get when the node seals or stops.
pub const DRAIN_SECONDS: u64 = 5;
/// Audit lines waiting for one device.
pub const AUDIT_QUEUE: usize = 16_384;
/// Milliseconds that a request waits for an audit device before it fails with 503: the answer is there within two seconds.
pub const AUDIT_MILLISECONDS: u64 = 1_500;
/// Request headers that audit entries show: each is looked up for each request.
pub const AUDIT_HEADERS: usize = 64;
/// Heads of audit chains that are kept: one for each device, node and start.
pub const AUDIT_HEADS: usize = 512;
/// Seconds between two signed heads of an audit chain: what a cut log can hide from them.
pub const AUDIT_HEAD_SECONDS: u64 = 10;
/// Audit devices that the API enables: each is a thread, and one more line for each entry.
pub const AUDIT_DEVICES: usize = 16;
/// Streams of one HTTP/2 connection.
pub const HTTP2_STREAMS: u32 = 256;
/// Bytes that `sys/tools/random` gives at most, as Vault's.
pub const RANDOM_BYTES: usize = 128 << 10;
/// Denials that a node keeps to explain; each has a path and some names.
pub const DENIALS_KEPT: usize = 512;
/// Clients that are noted and not written down yet; more are noted with their next request.
pub const CLIENTS_NOTED: usize = 16_384;
/// Months for which clients are kept at most: ten years.
pub const CLIENT_MONTHS: u32 = 120;
/// Answers that stream at once from one node: each is a connection that stays.
pub const STREAMS: usize = 64;
/// Seconds between two looks at whether whoever gets a streaming answer still may.
pub const STREAM_CHECK_SECONDS: u64 = 5;
/// Lines of the log that wait for one who follows it; beyond it, lines are lost to that one.
pub const LOG_LINES: usize = 512;
/// Leases below one prefix that one call revokes before it hands the rest to the background.
pub const REVOKE_AT_ONCE: usize = 10_000;
/// Longest address of another server, in bytes.
pub const OUTBOUND_ADDRESS_BYTES: usize = 2048;
/// Most addresses of one host that are tried.
pub const OUTBOUND_ADDRESSES: usize = 8;
/// Largest answer of another server, in bytes, where its reader says nothing else: a set of keys or a revocation list.
pub const OUTBOUND_ANSWER_BYTES: usize = 1 << 20;
/// Largest datagram from another server, in bytes: what DNS allows over UDP with extensions.
pub const OUTBOUND_DATAGRAM_BYTES: usize = 4096;
/// Seconds that one request to another server may take in all: a login waits for it.
pub const OUTBOUND_SECONDS: u64 = 10;
/// Seconds that one step of it may take: a name, a connection, so that there is time for another address.
pub const OUTBOUND_STEP_SECONDS: u64 = 4;
/// Longest signed token that is read, in bytes: those of CI issuers have some three thousand.
pub const JWT_BYTES: usize = 32 << 10;
/// Most keys of one issuer: real sets have less than ten.
pub const JWKS_KEYS: usize = 64;
/// Seconds between two looks at an issuer's keys at least, whatever tokens come: who floods with unknown keys moves nothing.
pub const JWKS_FLOOR_SECONDS: u64 = 10;
/// Seconds after which an issuer's keys are asked for again, so that one that was taken back is forgotten.
pub const JWKS_FRESH_SECONDS: u64 = 300;
/// Seconds for which keys are still good while their issuer does not answer.
pub const JWKS_STALE_SECONDS: u64 = 3600;
/// Most certificates that one role of the TLS certificate method trusts.
pub const TRUSTED_CERTIFICATES: usize = 64;
/// Revocation lists that one mount keeps parsed; more are parsed again when they are asked.
pub const REVOCATION_LISTS_AT_HAND: usize = 64;
/// Most revocation lists of one mount of it: each that is fetched is looked after, and all are asked at a login.
pub const REVOCATION_LISTS: usize = 64;
/// Seconds after which a list that has an address is fetched again: how long a revocation may take to be seen.
pub const CRL_REFRESH_SECONDS: u64 = 900;
/// Seconds to the next try after a list could not be fetched; doubled with each, up to the above.
pub const CRL_RETRY_SECONDS: u64 = 30;
/// Seconds for which a fetched list counts that does not say when it ends.
pub const CRL_UNDATED_SECONDS: u64 = 86_400;
/// Seconds by which the clocks of CAs and responders may be ahead of ours.
pub const REVOCATION_SKEW_SECONDS: u64 = 300;
/// Most OCSP responders that are asked about one certificate.
pub const OCSP_SERVERS: usize = 8;
/// Most times that one responder is asked again.
pub const OCSP_RETRIES: u64 = 10;
/// Seconds that one question to a responder may take.
pub const OCSP_STEP_SECONDS: u64 = 5;
/// Seconds that all questions of one login may take: less than a request may.
pub const OCSP_SECONDS: u64 = 20;
/// Seconds for which an answer counts that says neither when there will be another nor that it is for our question.
pub const OCSP_UNDATED_SECONDS: u64 = 3600;
/// Seconds for which a good answer is not asked for again.
pub const OCSP_KEPT_SECONDS: u64 = 60;
/// Most good answers that one mount may be told to keep.
pub const OCSP_KEPT: u64 = 10_000;
/// Most groups of one login that are looked at.
pub const LOGIN_GROUPS: usize = 1024;
/// Most conditions of one role: bound claims, names, extensions.
pub const ROLE_CONDITIONS: usize = 256;
/// Seconds that a browser has for a login that was begun.
pub const OIDC_STATE_SECONDS: u64 = 300;
/// Logins in a browser that are under way at one mount: anybody may begin one.
pub const OIDC_STATES: usize = 8192;
/// Places that a new one looks at for itself: with half of them taken, one in two hundred and fifty finds none.
pub const OIDC_STATE_DRAWS: usize = 8;
/// Aliases of one entity: one for each auth mount, which are few.
pub const ENTITY_ALIASES: usize = 256;
/// Entities that one request merges or deletes: each is some ten rows of one commit.
pub const ENTITIES_AT_ONCE: usize = 500;
/// Entities that one has taken in.
pub const ENTITIES_MERGED: usize = 1000;
/// Members that one write of a group names: two rows of one commit each.
pub const GROUP_MEMBERS: usize = 10_000;
/// Groups that are members of one group.
pub const GROUP_GROUPS: usize = 500;
/// Groups that are walked through for one entity, upwards or downwards.
pub const GROUP_WALK: usize = 1000;
/// Members that a group shows.
pub const GROUP_LISTED: usize = 1_000_000;
/// Rules about which logins need a second factor: each is looked at with every login.
pub const MFA_ENFORCEMENTS: usize = 200;
/// Names in one list of such a rule.
pub const MFA_NAMES: usize = 500;
/// Rows of codes and logins whose time is over that one new login removes.
pub const MFA_SWEEP: usize = 10;
/// Largest template of claims, in bytes.
pub const OIDC_TEMPLATE_BYTES: usize = 10 << 10;
/// Names in one list of the OIDC provider's.
pub const OIDC_NAMES: usize = 500;
/// Keys, roles, clients, providers of one kind that are looked through.
pub const OIDC_OBJECTS: usize = 10_000;
/// Keys that sign no more and are still public.
pub const OIDC_RETIRED: usize = 1000;
/// Keys that one round of the background rotates.
pub const OIDC_ROTATIONS: usize = 10;
/// Ids of one list that come with what is known of each; of longer ones a client reads those it wants.
pub const LISTED_WITH_INFO: usize = 10_000;
/// Most password policies.
pub const PASSWORD_POLICIES: usize = 1024;
/// Most origins, headers, or values of one header, in what browsers are told.
pub const FRONT_ITEMS: usize = 64;
/// Request headers that a mount lets through to its engine, and headers of answers that it lets out.
pub const MOUNT_HEADERS: usize = 64;
/// Longest value of one header of the web page, in bytes.
pub const HEADER_VALUE_BYTES: usize = 2048;
/// Most rate limits.
pub const QUOTAS: usize = 1024;
/// Clients that a rate limit tells apart on one node; more share one place, so that the limit holds for them together.
pub const QUOTA_CLIENTS: usize = 65_536;
/// Places of one auth mount in which failed logins are counted: names share a place once in so many, and storage has a bound.
pub const LOCKOUT_PLACES: u16 = 4096;
/// Longest name of a login that is counted, in bytes.
pub const LOCKOUT_NAME_BYTES: usize = 1024;
/// Tries of a revocation before a lease counts as irrevocable, as Vault's.
pub const REVOKE_TRIES: u32 = 6;
/// Revocations that run side by side in the background.
pub const REVOKE_SIDE_BY_SIDE: usize = 16;
/// Mounts that have metrics of their own; all others share one.
pub const METRIC_MOUNTS: usize = 100;
/// Values of one label; all others share one.
pub const METRIC_LABELS: usize = 200;
