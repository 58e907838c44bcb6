//! The config that `windlass init sqlite:shop.db` writes: small, commented, and valid as it stands.

use windlass_plugin_api::Kind;

use super::pipeline::Entry;
use super::problem::Problem;
use super::url::{entry_from_url, name_from_url};
use super::value::{Data, Located};
use super::{Known, is_name};

/// The text of a config that backs up `source` (a URL) to `storage` (a URL, such as `fs:./backups`), through the filters
/// that offer themselves for it. What isn't named is what a plugin offers. It is meant to be written into the current
/// folder: relative paths stay.
pub fn starter(source: Option<&str>, storage: Option<&str>, known: &dyn Known) -> Result<String, Problem> {
    let or_offered = |url: Option<&str>, kind| {
        let url = url.map(str::to_owned).or_else(|| offered(kind, known).into_iter().next());
        url.ok_or_else(|| Problem::new(format!("no {kind} plugin offers itself: name a {kind} by its URL")))
    };
    let (source, storage) = (&or_offered(source, Kind::Source)?, &or_offered(storage, Kind::Storage)?);
    let name = name_from_url(source);
    let source = entry_from_url(Kind::Source, &Located::from_command_line(source.clone()), known)?;
    let place = entry_from_url(Kind::Storage, &Located::from_command_line(storage.clone()), known)?;
    let place_name = name_from_url(storage);
    debug_assert!(is_name(&name) && is_name(&place_name));
    let filters: Vec<String> =
        offered(Kind::Filter, known).iter().map(|filter| format!("{{ plugin = \"{filter}\" }}")).collect();
    let filters = format!("filters = [{}]", filters.join(", "));
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

# What `windlass prune` keeps: all that any of these keeps.
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

/// What the plugins of a kind offer for a first config.
fn offered(kind: Kind, known: &dyn Known) -> Vec<String> {
    known.names(kind).iter().filter_map(|name| known.info(kind, name).ok()?.starter.clone()).collect()
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
