//! What a server says of its files: the answer to PROPFIND (RFC 4918), and the question.

use serde::Deserialize;
use windlass_plugin_api::{Error, Result};

/// What is asked about files and folders.
pub const QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propfind xmlns:D=\"DAV:\"><D:prop><D:resourcetype/>\
     <D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop></D:propfind>";

/// Reads an answer; elements that aren't known are skipped, and so are the prefixes that servers choose for the namespace.
pub fn read(text: &str) -> Result<Vec<Told>> {
    let answer: Multistatus = quick_xml::de::from_str(text).map_err(|error| {
        Error::failed("the server's answer can't be read: is there WebDAV at `url`?").because(&error)
    })?;
    Ok(answer.response)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Multistatus {
    response: Vec<Told>,
}

/// A file or folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Told {
    pub href: String,
    propstat: Vec<Propstat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Propstat {
    prop: Prop,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Prop {
    resourcetype: Option<Resourcetype>,
    getcontentlength: Option<String>,
    getlastmodified: Option<String>,
    getetag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resourcetype {
    collection: Option<Nothing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nothing {}

impl Told {
    /// Properties that are there; those that aren't stand under another status.
    fn known(&self) -> impl Iterator<Item = &Prop> {
        let is_known = |found: &&Propstat| found.status.is_empty() || found.status.contains(" 200");
        self.propstat.iter().filter(is_known).map(|found| &found.prop)
    }

    pub fn is_folder(&self) -> bool {
        self.known().any(|prop| prop.resourcetype.as_ref().is_some_and(|kind| kind.collection.is_some()))
    }

    pub fn size_bytes(&self) -> u64 {
        let size = self.known().find_map(|prop| prop.getcontentlength.as_ref()?.trim().parse().ok());
        size.unwrap_or_default()
    }

    /// Seconds since 1970.
    pub fn modified(&self) -> Option<i64> {
        let date = self.known().find_map(|prop| prop.getlastmodified.clone())?;
        let time = httpdate::parse_http_date(date.trim()).ok()?;
        Some(time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?.as_secs() as i64)
    }

    pub fn etag(&self) -> Option<String> {
        self.known().find_map(|prop| prop.getetag.clone()).filter(|tag| !tag.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Apache, rclone and Nextcloud write it: other prefixes, properties that are missing, others that weren't asked for.
    #[test]
    fn files_and_folders_are_read_whatever_prefix_the_server_chooses() {
        for (open, close) in [("D:", "D:"), ("d:", "d:"), ("lp1:", "lp1:"), ("", "")] {
            let text = r#"<?xml version="1.0" encoding="utf-8"?><{multistatus xmlns:D="DAV:" xmlns:d="DAV:" xmlns:lp1="DAV:" xmlns:oc="http://owncloud.org/ns">
                <{response><{href>/dav/a%20b/</}href><{propstat><{prop><{resourcetype><{collection xmlns:D="DAV:"/></}resourcetype>
                <{getlastmodified>Sun, 22 Nov 2026 18:59:03 GMT</}getlastmodified><oc:size>7</oc:size></}prop><{status>HTTP/1.1 200 OK</}status></}propstat>
                <{propstat><{prop><{getcontentlength/></}prop><{status>HTTP/1.1 404 Not Found</}status></}propstat></}response>
                <{response><{href>/dav/a%20b/c</}href><{propstat><{prop><{resourcetype></}resourcetype><{getcontentlength>434</}getcontentlength>
                <{getetag>"9b2c"</}getetag></}prop><{status>HTTP/1.1 200 OK</}status></}propstat></}response></}multistatus>"#;
            let text = text.replace("</}", &format!("</{close}")).replace("<{", &format!("<{open}"));
            let told = read(&text).unwrap_or_else(|error| panic!("{open}: {error:?}"));
            let [folder, file] = told.as_slice() else { panic!("{told:?}") };
            assert!(folder.is_folder() && !file.is_folder(), "{told:?}");
            assert_eq!((folder.href.as_str(), folder.modified()), ("/dav/a%20b/", Some(1_795_373_943)));
            assert_eq!((file.size_bytes(), file.etag().as_deref()), (434, Some("\"9b2c\"")));
        }
    }

    #[test]
    fn a_web_page_is_no_answer() {
        assert!(
            read("<html><body>Welcome<br></body></html>").is_err() || read("<html/>").unwrap().is_empty()
        );
    }
}
