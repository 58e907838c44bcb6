//! The documents of the protocol: what the service answers, and what it is asked.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use windlass_plugin_api::{Error, Result};

/// Reads a document; elements that aren't known are skipped.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    // Some answers begin with a byte order mark.
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}

/// An error. All fields are empty in any other document.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Page {
    pub blobs: Blobs,
    pub next_marker: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Blobs {
    #[serde(rename = "Blob")]
    pub blobs: Vec<Blob>,
    #[serde(rename = "BlobPrefix")]
    pub prefixes: Vec<Prefix>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Blob {
    pub name: String,
    pub properties: Properties,
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Properties {
    #[serde(rename = "Last-Modified")]
    pub last_modified: String,
    #[serde(rename = "Content-Length")]
    pub content_length: u64,
    #[serde(rename = "Etag")]
    pub etag: String,
    /// Only where the account has folders: `file` or `directory`.
    #[serde(rename = "ResourceType")]
    pub resource_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub windlassdiscarded: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Prefix {
    pub name: String,
}

/// The list of the blocks that a blob consists of.
pub fn block_list(ids: &[String]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    for id in ids {
        text.push_str(&format!("<Latest>{}</Latest>", quick_xml::escape::escape(id.as_str())));
    }
    text + "</BlockList>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_folded_prefixes_and_marks() {
        let page: Page = read(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://acme.blob.core.windows.net/\" ContainerName=\"web\">
            <Prefix>a</Prefix><MaxResults>4</MaxResults><Delimiter>/</Delimiter><Blobs>
            <Blob><Name>a-b</Name><Properties><Creation-Time>Sun, 22 Nov 2026 18:59:03 GMT</Creation-Time><Last-Modified>Sun, 22 Nov 2026 18:59:03 GMT</Last-Modified>
            <Etag>0x8D</Etag><Content-Length>434</Content-Length><BlobType>BlockBlob</BlobType></Properties><Metadata><windlassupload>7f</windlassupload></Metadata><OrMetadata /></Blob>
            <BlobPrefix><Name>a/</Name></BlobPrefix>
            <Blob><Name>a&amp;c</Name><Properties><Content-Length>0</Content-Length><ResourceType>file</ResourceType></Properties><Metadata><windlassdiscarded>1</windlassdiscarded></Metadata></Blob>
            </Blobs><NextMarker>2!92!MDAw</NextMarker></EnumerationResults>",
        )
        .unwrap();
        let [one, other] = page.blobs.blobs.as_slice() else { panic!("{page:?}") };
        assert_eq!((one.name.as_str(), one.properties.content_length), ("a-b", 434));
        assert!(one.metadata.as_ref().unwrap().windlassdiscarded.is_none());
        assert_eq!((other.name.as_str(), other.properties.resource_type.as_deref()), ("a&c", Some("file")));
        assert!(other.metadata.as_ref().unwrap().windlassdiscarded.is_some());
        assert_eq!((page.blobs.prefixes[0].name.as_str(), page.next_marker.as_str()), ("a/", "2!92!MDAw"));
    }

    #[test]
    fn an_empty_listing_is_read() {
        let page: Page = read("<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>").unwrap();
        assert!(page.blobs.blobs.is_empty() && page.next_marker.is_empty());
    }

    #[test]
    fn a_block_list_names_its_blocks_in_order() {
        let text = block_list(&["YQ==".to_owned(), "Yg==".to_owned()]);
        assert!(text.ends_with("<BlockList><Latest>YQ==</Latest><Latest>Yg==</Latest></BlockList>"));
    }
}
