//! Azurite, Microsoft's own emulator of Azure Storage: it checks signatures and the rights of SAS tokens, and keeps
//! uncommitted blocks apart from blobs as the service does.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::http::send;
use crate::process::Launch;
use crate::program::{escape, find, installed, repo};
use crate::server::{At, Kind, Server};

/// An account of Azure Blob Storage.
pub struct Azurite {
    server: Server<Installation>,
}

struct Installation;

impl Azurite {
    /// The account's name.
    pub const ACCOUNT: &str = "windlasstests";
    /// The account's key.
    pub const KEY: &str = "bm90IGEgcmVhbCBrZXksIGJ1dCBvbmUgZm9yIHRlc3Rz";

    /// Starts one without containers.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: Server::start(Installation) }
    }

    /// The account's blob endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port(), Self::ACCOUNT)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// A token of the account with some of the rights `rwdlac`.
    pub fn sas(&self, rights: &str) -> String {
        const VERSION: &str = "2018-11-09";
        const END: &str = "2099-01-01T00:00:00Z";
        let signed = format!("{}\n{rights}\nb\nco\n\n{END}\n\nhttps,http\n{VERSION}\n", Self::ACCOUNT);
        let signature = BASE64.encode(hmac(&BASE64.decode(Self::KEY).unwrap(), signed.as_bytes()));
        format!("sv={VERSION}&ss=b&srt=co&sp={rights}&se={END}&spr=https,http&sig={}", escape(&signature))
    }

    /// Makes a container.
    #[track_caller]
    pub fn make_container(&self, container: &str) {
        let (status, body) = self.ask("PUT", &format!("/{container}?restype=container&"));
        assert_eq!(status, 201, "can't make `{container}`: {}", String::from_utf8_lossy(&body));
    }

    /// A blob's bytes.
    pub fn object(&self, container: &str, key: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask("GET", &format!("/{container}/{key}?"));
        (status == 200).then_some(body)
    }

    /// How many blobs of a container consist of nothing but blocks that were never committed.
    pub fn half_uploads(&self, container: &str) -> usize {
        let count = |more: &str| {
            let (status, body) = self.ask("GET", &format!("/{container}?restype=container&comp=list{more}&"));
            assert_eq!(status, 200, "can't list `{container}`");
            String::from_utf8_lossy(&body).matches("<Blob>").count()
        };
        count("&include=uncommittedblobs").saturating_sub(count(""))
    }

    fn ask(&self, method: &str, path: &str) -> (u16, Vec<u8>) {
        let path = format!("/{}{path}{}", Self::ACCOUNT, self.sas("rwdlac"));
        send(self.port(), method, &path, "x-ms-version: 2021-12-02\r\n", b"")
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        "azurite".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        std::fs::create_dir(folder.join("data")).unwrap();
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let script = repo().join(".tools/azurite/node_modules/azurite/dist/src/blob/main.js");
        let script = installed(Some(script).filter(|script| script.is_file()), "azurite");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut argv = vec![text(&find("node")), text(&script)];
        argv.extend(["--skipApiVersionCheck", "--disableTelemetry", "--silent"].map(str::to_owned));
        argv.extend(["--blobHost", "127.0.0.1", "--blobPort"].map(str::to_owned));
        argv.extend([at.port.to_string(), "--location".to_owned(), text(&at.folder.join("data"))]);
        let accounts = format!("{}:{}", Azurite::ACCOUNT, Azurite::KEY);
        Launch { argv, env: vec![("AZURITE_ACCOUNTS", accounts)], signal: "KILL" }
    }

    /// It knows the account, and refuses who doesn't sign.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let path = format!("/{}?comp=list", Azurite::ACCOUNT);
        send(at.port, "GET", &path, "", b"").is_ok_and(|(status, _)| status == 403)
    }
}

/// HMAC-SHA-256, RFC 2104. The key is no longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded =
        |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ with).collect() };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}
