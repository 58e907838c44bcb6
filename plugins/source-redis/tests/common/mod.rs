//! What the tests share: two servers, something of every type in one of them, and how a backup and a restore are called.
#![allow(dead_code)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, Context, Inputs, Plugin, Reader, RestoreMode, RestoreOptions, Restored, Result, Source,
    StreamInfo, Target,
};
use windlass_source_redis::{FORMAT, Options, Redis};
use windlass_test_servers::{Redis as Server, Valkey};
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs};
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use windlass_testkit::until;
use windlass_testkit::{SourceFixture, TestHost};

/// The password of the fixture's servers.
pub const PASSWORD: &str = "hunter2-of-redis";

/// Servers that begin a transfer at once; by default they wait five seconds for other replicas.
pub const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// A Redis server.
pub fn redis() -> Server {
    Server::start_with(&AT_ONCE)
}

/// A Valkey server.
pub fn valkey() -> Server {
    Valkey::start_with(&AT_ONCE)
}

/// A server to back up and one to restore to, both with a password.
pub struct Fixture {
    source: Server,
    target: Server,
}

impl SourceFixture for Fixture {
    fn new() -> Self {
        let start = || Server::start_with(&[AT_ONCE[0], AT_ONCE[1], "--requirepass", PASSWORD]);
        let fixture = Self { source: start(), target: start() };
        fill(&fixture.source);
        fixture
    }

    fn options(&self) -> Value {
        json!({ "host": "127.0.0.1", "port": self.source.port(), "password": { "$secret": "source.kv.password" } })
    }

    fn target_options(&self) -> Value {
        json!({ "host": "127.0.0.1", "port": self.target.port(), "password": { "$secret": "source.kv.password" } })
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.source)
    }

    fn target_fingerprint(&self) -> String {
        fingerprint(&self.target)
    }

    fn change(&self) {
        self.source.cli(&["SET", "new", "one"]);
        self.source.cli(&["RPUSH", "list", "changed"]);
        self.source.cli(&["DEL", "set"]);
        self.source.cli(&["-n", "3", "FLUSHDB"]);
        self.source.cli(&["-n", "5", "SET", "elsewhere", "now"]);
    }

    fn host(&self) -> TestHost {
        TestHost::new().secret("source.kv.password", PASSWORD)
    }
}

/// Puts something of every type and every encoding into databases 0 and 3, and a function; a few hundred kilobytes.
pub fn fill(server: &Server) {
    let script = r"
        local long = string.rep('a long text that can be packed ', 40)
        redis.call('SET', 'text', 'plain')
        redis.call('SET', 'empty', '')
        redis.call('SET', 'number', '-12345')
        redis.call('SET', 'big number', '1234567890123')
        redis.call('SET', 'long', long)
        redis.call('SET', 'key ' .. long, 'a long name is packed too')
        redis.call('SET', '777', 'a name that is a number')
        redis.call('SET', 'bytes\0\255\r\n', 'a\0b\255\r\n')
        redis.call('SETBIT', 'bits', 4000, 1)
        redis.call('PFADD', 'guess', 'a', 'b', 'c')
        redis.call('GEOADD', 'places', 13.36, 38.11, 'Palermo', 15.08, 37.50, 'Catania')
        for i = 1, 5 do
            redis.call('RPUSH', 'list', 'item ' .. i, i)
            redis.call('SADD', 'set', 'member ' .. i)
            redis.call('SADD', 'ints', i * 1000)
            redis.call('HSET', 'hash', 'field ' .. i, i)
            redis.call('ZADD', 'zset', i / 3, 'member ' .. i)
        end
        redis.call('ZADD', 'zset', '-inf', 'low', '+inf', 'high')
        for i = 1, 600 do
            redis.call('RPUSH', 'long list', 'item ' .. i .. long)
            redis.call('SADD', 'long set', 'member ' .. i)
            redis.call('SADD', 'long ints', i * 100000)
            redis.call('HSET', 'long hash', 'field ' .. i, long)
            redis.call('ZADD', 'long zset', i / 7, 'member ' .. i)
            redis.call('XADD', 'stream', i .. '-1', 'field', i, 'other', 'x')
            redis.call('SET', 'key:' .. i, 'value ' .. i)
        end
        redis.call('RPUSH', 'list with a big item', string.rep('x', 20000), 'y')
        redis.call('XDEL', 'stream', '5-1')
        redis.call('XTRIM', 'stream', 'MAXLEN', 500)
        redis.call('XGROUP', 'CREATE', 'stream', 'group', '0')
        redis.call('XGROUP', 'CREATE', 'stream', 'idle', '$')
        redis.call('XGROUP', 'CREATECONSUMER', 'stream', 'group', 'lazy')
        redis.call('XREADGROUP', 'GROUP', 'group', 'busy', 'COUNT', 9, 'STREAMS', 'stream', '>')
        redis.call('XACK', 'stream', 'group', '200-1')
        redis.call('XGROUP', 'CREATE', 'empty stream', 'g', '$', 'MKSTREAM')
        redis.call('PEXPIREAT', 'text', 4102444800123)
        redis.call('EXPIREAT', 'hash', 4102444800)
        redis.call('SELECT', 3)
        redis.call('SET', 'text', 'of database 3')
        redis.call('SET', 'gone in 2100', 'x', 'PXAT', 4102444800999)
        return 'filled'";
    assert_eq!(server.cli(&["EVAL", script, "0"]), "filled");
    server.cli(&["FUNCTION", "LOAD", LIBRARY]);
}

/// A library with one function.
pub const LIBRARY: &str =
    "#!lua name=shop\nredis.register_function('greet', function(keys, args) return 'hello ' .. args[1] end)";

/// All that is in a server, sorted, in a form that can be compared between servers of any make.
pub fn fingerprint(server: &Server) -> String {
    let script = r"
        local function short(text)
            if #text > 60 then return redis.sha1hex(text) end
            return (string.gsub(text, '[^%w%p ]', function(c) return string.format('<%d>', string.byte(c)) end))
        end
        local function flat(value)
            if type(value) ~= 'table' then return short(tostring(value)) end
            if value.ok then return value.ok end
            if value.double then return tostring(value.double) end
            local parts = {}
            for _, part in ipairs(value) do table.insert(parts, flat(part)) end
            return '(' .. table.concat(parts, ' ') .. ')'
        end
        local function pairs_of(list)
            local parts = {}
            for i = 1, #list, 2 do table.insert(parts, short(list[i]) .. '=' .. short(list[i + 1])) end
            table.sort(parts)
            return table.concat(parts, ' ')
        end
        local function scores_of(list)
            local parts = {}
            for i = 1, #list, 2 do table.insert(parts, short(list[i]) .. string.format('=%.17g', list[i + 1])) end
            return table.concat(parts, ' ')
        end
        local function stream(key)
            local text = short(flat(redis.call('XRANGE', key, '-', '+'))) .. ' groups ' .. flat(redis.call('XINFO', 'GROUPS', key))
            for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
                for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', key, group[2])) do
                    text = text .. ' consumer ' .. consumer[2] .. ' ' .. consumer[4]
                end
                for _, entry in ipairs(redis.call('XPENDING', key, group[2], '-', '+', 1000)) do
                    text = text .. ' pending ' .. entry[1] .. ' ' .. entry[2] .. ' ' .. entry[4]
                end
            end
            return text
        end
        local function value_of(key, kind)
            if kind == 'string' then return short(redis.call('GET', key)) end
            if kind == 'list' then return flat(redis.call('LRANGE', key, 0, -1)) end
            if kind == 'hash' then return pairs_of(redis.call('HGETALL', key)) end
            if kind == 'zset' then return scores_of(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')) end
            if kind == 'stream' then return stream(key) end
            local members = redis.call('SMEMBERS', key)
            table.sort(members)
            return flat(members)
        end
        local lines = {}
        for database = 0, 15 do
            if redis.pcall('SELECT', database).err then break end
            for _, key in ipairs(redis.call('KEYS', '*')) do
                local kind = redis.call('TYPE', key).ok
                local expires = redis.call('PEXPIRETIME', key)
                table.insert(lines, database .. ' ' .. short(key) .. ' ' .. kind .. ' ' .. expires .. ': ' .. value_of(key, kind))
            end
        end
        table.sort(lines)
        return table.concat(lines, '\n')";
    format!("{}\n{}", server.cli(&["EVAL", script, "0"]), server.cli(&["FUNCTION", "LIST", "WITHCODE"]))
}

/// Options for `server`, without a password.
pub fn options(server: &Server) -> Value {
    json!({ "host": "127.0.0.1", "port": server.port() })
}

/// Makes the users that the documentation shows.
pub fn documented_users(server: &Server) {
    let page = include_str!("../../../../docs/sources/redis.md");
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("ACL SETUSER")).collect();
    assert_eq!(lines.len(), 2);
    lines.iter().for_each(|line| drop(server.cli(&line.split(' ').collect::<Vec<_>>())));
}

/// Options for `server` as one of these users.
pub fn as_user(server: &Server, user: &str) -> Value {
    json!({ "port": server.port(), "user": user, "password": "a-long-random-password" })
}

/// The source, with the options of `json`.
pub fn source(options: &Value, cx: &Context) -> Redis {
    let options: Options = serde_json::from_value(options.clone()).unwrap();
    Redis::new(options, cx).unwrap()
}

/// Backs up into memory. Returns the stream's bytes and what was told.
pub fn backup(options: &Value) -> Result<(Vec<u8>, Contents)> {
    let (host, out) = (TestHost::new(), MemoryOutputs::new());
    let mut source = source(options, &host.context());
    source.probe(&host.context())?;
    let contents = source.backup(&host.context(), &out)?;
    let mut streams = out.seen();
    assert_eq!(streams.len(), 1);
    let (_, seen) = streams.remove(0);
    assert!(seen.finished);
    Ok((seen.bytes, contents))
}

/// How to restore in mode `mode`.
pub fn how(mode: RestoreMode, contents: Option<&Contents>) -> RestoreOptions {
    RestoreOptions {
        mode,
        snapshot: "20260101T000000Z-test".into(),
        contents: contents.cloned(),
        ..RestoreOptions::default()
    }
}

/// The one stream to restore from.
pub fn inputs(bytes: &[u8]) -> MemoryInputs {
    MemoryInputs::new().stream("data", StreamInfo::new(FORMAT), bytes.to_vec())
}

/// Restores as the host does: `target`, `preview` where it would ask, `restore`.
pub fn restore(
    options: &Value,
    taken: &(Vec<u8>, Contents),
    mode: RestoreMode,
) -> Result<(Target, Restored)> {
    restore_as(options, &taken.0, Some(&taken.1), mode)
}

/// As [`restore`], perhaps without what the backup told.
pub fn restore_as(
    options: &Value,
    bytes: &[u8],
    contents: Option<&Contents>,
    mode: RestoreMode,
) -> Result<(Target, Restored)> {
    let cx = TestHost::new().context();
    let mut source = source(options, &cx);
    let how = how(mode, contents);
    let target = source.target(&cx, &how)?;
    if !target.empty && mode != RestoreMode::Fail {
        source.preview(&cx, &inputs(bytes), &how)?;
    }
    Ok((target, source.restore(&cx, &inputs(bytes), &how)?))
}

/// Names in `folder` that begin as ours do.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".windlass")).collect()
}

/// Something that is done when half of a stream was read.
type Deed = Box<dyn Fn() + Send + Sync>;

/// One stream, and a deed in its middle, each time it is read.
pub struct Interrupted {
    bytes: Vec<u8>,
    deed: Arc<Deed>,
}

impl Interrupted {
    /// `deed` is done when half of `bytes` was read.
    pub fn new(bytes: Vec<u8>, deed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { bytes, deed: Arc::new(Box::new(deed)) }
    }
}

impl Inputs for Interrupted {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        vec![("data".into(), StreamInfo::new(FORMAT))]
    }

    fn open(&self, _: &str) -> Result<Reader> {
        let half = self.bytes.len() / 2;
        let first = std::io::Cursor::new(self.bytes[..half].to_vec());
        let rest = std::io::Cursor::new(self.bytes[half..].to_vec());
        let deed = self.deed.clone();
        Ok(Box::new(first.chain(Then(Some(deed))).chain(rest)))
    }
}

/// Does its deed and is empty.
struct Then(Option<Arc<Deed>>);

impl Read for Then {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        if let Some(deed) = self.0.take() {
            deed();
        }
        Ok(0)
    }
}

/// Two fingerprints are the same; otherwise the lines that differ are shown.
#[track_caller]
pub fn assert_same(got: &str, wanted: &str) {
    let not_in = |other: &str, text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !other.lines().any(|other| other == *line))
            .take(5)
            .map(str::to_owned)
            .collect()
    };
    if got != wanted {
        panic!("got {:#?}\nwanted {:#?}", not_in(wanted, got), not_in(got, wanted));
    }
}

/// Why the source can't be made of these options.
pub fn source_error(options: &Value) -> windlass_plugin_api::Error {
    let options: Options = serde_json::from_value(options.clone()).unwrap();
    Redis::new(options, &TestHost::new().context()).err().expect("the options were taken")
}
