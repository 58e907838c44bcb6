//! The config that `windlass init sqlite:shop.db` writes: small, commented, and valid as it stands.

use windlass_plugin_api::Kind;

use super::pipeline::Entry;
use super::problem::Problem;
use super::url::{entry_from_url, name_from_url};
use super::value::{Data, Located};
use super::{Known, is_name};

/// The text of a config that backs up `source` (a URL) to `storage` (a URL, such as `fs:./backups`). Compressed, if a
/// filter called `zstd` is installed. It is meant to be written into the current folder: relative paths stay.
pub fn starter(source: &str, storage: &str, known: &dyn Known) -> Result<String, Problem> {
    let name = name_from_url(source);
    let source = entry_from_url(Kind::Source, &Located::from_command_line(source.to_owned()), known)?;
    let place = entry_from_url(Kind::Storage, &Located::from_command_line(storage.to_owned()), known)?;
    let place_name = name_from_url(storage);
    debug_assert!(is_name(&name) && is_name(&place_name));
    let zstd = known.info(Kind::Filter, "zstd").is_ok();
    let filters =
        if zstd { "filters = [{ plugin = \"zstd\" }]" } else { "# filters = [{ plugin = \"zstd\" }]" };
    Ok(format!(
        "\
# What Windlass backs up, how, and to where.
#   windlass check      proves that all of it works
#   windlass backup     makes a snapshot
#   windlass list       tells which there are
#   windlass restore {name}
# Relative paths are relative to this file's folder. `windlass config schema` gives editors a JSON schema of this file.

# The label under which this host's snapshots stand. Default: the host name.
# host = \"web1\"

[source.{name}]
{source}# Any value may stand elsewhere, and every secret should:
# password = {{ env = \"SHOP_PASSWORD\" }}
# password = {{ file = \"/run/secrets/shop\" }}
# password = {{ command = [\"pass\", \"show\", \"shop\"] }}

[storage.{place_name}]
{place}
[pipeline.{name}]
source = \"{name}\"
{filters}
storage = [\"{place_name}\"]
# timeout = \"2h\"
# stall_timeout = \"10m\"
# tags = {{ team = \"shop\" }}

# When it should run: cron fields, or @hourly, @daily, @weekly. Read and checked, but nothing acts on it yet.
# schedule = \"0 3 * * *\"

# What should be kept. Read and checked, but nothing acts on it yet.
# [pipeline.{name}.retention]
# keep_last = 3
# keep_daily = 7
# keep_weekly = 4
# keep_monthly = 6
",
        source = lines(&source),
        place = lines(&place),
    ))
}

/// `plugin = "…"` and the options, a line each.
fn lines(entry: &Entry) -> String {
    let mut lines = format!("plugin = {}\n", toml(&Data::String(entry.plugin.value.clone())));
    for (key, field) in entry.options.iter() {
        lines.push_str(&format!("{key} = {}\n", toml(&field.value.value)));
    }
    lines
}

fn toml(data: &Data) -> String {
    match data {
        Data::Array(items) => {
            format!("[{}]", items.iter().map(|item| toml(&item.value)).collect::<Vec<_>>().join(", "))
        }
        // Options of a URL are scalars and lists of them; JSON's strings and numbers are TOML's too.
        other => other.to_json().to_string(),
    }
}
