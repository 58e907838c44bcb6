//! Windlass source: any pair of dump and restore commands.
//!
//! The dump command's stdout is the one stream of the snapshot; the restore command gets it on stdin. How programs are
//! run, ended and judged is `windlass-tool`'s; this plugin says which, and what can be promised of a program that it
//! knows nothing about: very little, unless the options say more. Commands are arrays and never go through a shell.

mod options;

use windlass_plugin_api::{
    Contents, Context, Error, ErrorKind, Inputs, Outputs, Plugin, Probe, RestoreMode, RestoreOptions,
    Restored, Result, Source, StreamInfo, Target, export_plugin,
};
use windlass_tool::{Tool, looks_secret, shell};

pub use options::{InheritEnv, Options};

export_plugin! {
    source CommandSource {
        "name": "command",
        "summary": "any pair of dump and restore commands",
        "writes": ["command/1"],
        "reads": ["command/1", "*"],
    }
    options: "../options.schema.json"
}

/// The stream's name.
const STREAM: &str = "data";

/// The format of bytes of which only the commands know what they are.
const FORMAT: &str = "command/1";

/// The source `command`.
pub struct CommandSource {
    options: Options,
}

impl Plugin for CommandSource {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.judge()?;
        Ok(Self { options })
    }
}

impl Source for CommandSource {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        let dump = self.tool(cx, "dump_command", &self.options.dump_command)?.path()?;
        let mut probe = Probe::default();
        probe.notes.push(format!("The dump command is `{}`.", dump.display()));
        if self.options.restore_command.is_empty() {
            probe.warnings.push(
                "There is no `restore_command`: a snapshot can only be decoded, with `restore --output FILE`."
                    .to_owned(),
            );
        }
        let later = [&self.options.restore_command, &self.options.target_check];
        for command in later.into_iter().filter(|command| !command.is_empty()) {
            if let Err(error) = self.tool(cx, "restore_command", command)?.path() {
                probe.warnings.push(format!("A restore would not work here: {error}."));
            }
        }
        for name in self.options.env.keys().filter(|name| looks_secret(name)) {
            probe.warnings.push(format!("`env.{name}` looks like a secret: set it in `secret_env`."));
        }
        Ok(probe)
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        let tool = self.tool(cx, "dump_command", &self.options.dump_command)?;
        let mut sink = out.create(STREAM, StreamInfo::new(&self.options.stream_format))?;
        let outcome = tool.dump(cx, &mut sink)?;
        log(&self.options.dump_command, &outcome.stderr);
        if outcome.bytes == 0 && !self.options.allow_empty {
            return Err(Error::failed("the dump command ended well and wrote nothing")
                .detail("stderr", outcome.stderr)
                .hint("If that can be right, set `allow_empty = true`."));
        }
        sink.finish()?;
        Ok(Contents::default())
    }

    fn target(&mut self, cx: &Context, _: &RestoreOptions) -> Result<Target> {
        let tool = self.tool(cx, "restore_command", &self.options.restore_command)?;
        tool.path()?;
        let command = tool.redacted(&shell::line(&self.options.restore_command));
        let empty = self.is_empty(cx)?;
        let effect = match empty {
            None => format!("runs `{command}`; what that overwrites can't be told"),
            Some(true) => format!("runs `{command}` on an empty target"),
            Some(false) => format!("runs `{command}` on a target that isn't empty"),
        };
        Ok(Target {
            place: format!("`{command}`"),
            empty: empty == Some(true),
            effects: vec![effect],
            atomic: self.options.atomic,
            ..Target::default()
        })
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        let tool = self.tool(cx, "restore_command", &self.options.restore_command)?;
        let stream = self.stream(input, how)?;
        // Asked again: the host asked before the user confirmed.
        if how.mode == RestoreMode::Fail && self.is_empty(cx)? == Some(false) {
            return Err(Error::new(ErrorKind::Refused, "the target isn't empty"));
        }
        let tool = tool
            .env("WINDLASS_RESTORE_MODE", how.mode.as_str())
            .env("WINDLASS_SNAPSHOT", &how.snapshot)
            .allow_unread(self.options.allow_unread);
        let outcome = tool.load(cx, input.open(&stream)?)?;
        log(&self.options.restore_command, &outcome.stderr);
        let place = format!("`{}`", tool.redacted(&shell::line(&self.options.restore_command)));
        Ok(Restored { place, ..Restored::default() })
    }

    fn by_hand(&self, _: &str, _: &Contents) -> Option<String> {
        if self.options.restore_command.is_empty() {
            return None;
        }
        // The values stay out: whoever runs it is told by the shell which variable is missing.
        let names = self.options.env.keys().chain(self.options.secret_env.keys());
        let variables: String = names.map(|name| format!("{name}=\"${{{name}:?}}\" ")).collect();
        let command = Tool::new("").redacted(&shell::line(&self.options.restore_command));
        Some(match &self.options.working_dir {
            Some(dir) => format!("(cd {} && {variables}{command})", shell::word(&dir.to_string_lossy())),
            None => format!("{variables}{command}"),
        })
    }
}

impl CommandSource {
    /// `command`, which the option `name` holds, with all that the options give it.
    fn tool(&self, cx: &Context, name: &str, command: &[String]) -> Result<Tool> {
        let [program, args @ ..] = command else {
            return Err(Error::new(ErrorKind::Config, format!("the option `{name}` is missing"))
                .hint(format!("Name a program and its arguments: `{name} = [\"program\", \"argument\"]`.")));
        };
        let mut tool = Tool::new(program)
            .args(args)
            .inherit_env(self.options.inherit_env.clone().into())
            .bin_dirs(&self.options.bin_dirs);
        if let Some(dir) = &self.options.working_dir {
            tool = tool.working_dir(dir);
        }
        for (name, value) in &self.options.env {
            tool = tool.env(name, value);
        }
        for (name, secret) in &self.options.secret_env {
            tool = tool.secret_env(cx, name, secret)?;
        }
        Ok(tool)
    }

    /// What the target check says; none if there is no check.
    fn is_empty(&self, cx: &Context) -> Result<Option<bool>> {
        if self.options.target_check.is_empty() {
            return Ok(None);
        }
        let tool = self.tool(cx, "target_check", &self.options.target_check)?.accept_exit(&[0, 1]);
        let (outcome, _) = tool.output(cx).map_err(|error| {
            error
                .during("can't check the target")
                .hint("`target_check` says 0 for empty and 1 for not empty.")
        })?;
        Ok(Some(outcome.code == 0))
    }

    /// The one stream that the restore command gets.
    fn stream(&self, input: &dyn Inputs, how: &RestoreOptions) -> Result<String> {
        if let Some(name) = how.only.first() {
            let message = format!("a command restores everything, and can't pick out `{name}`");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut streams = input.streams();
        let Some((name, info)) = streams.pop().filter(|_| streams.is_empty()) else {
            let message = "a command restores one stream, and this snapshot hasn't exactly one";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let format = info.stream_format;
        if [FORMAT, "", &self.options.stream_format].contains(&format.as_str()) {
            return Ok(name);
        }
        let message =
            format!("the snapshot's format is `{format}`, the command's is `{}`", self.options.stream_format);
        Err(Error::new(ErrorKind::Unsupported, message)
            .hint(format!("If the command reads it, set `stream_format = \"{format}\"`.")))
    }
}

/// What a program that ended well said on stderr.
fn log(command: &[String], stderr: &str) {
    let program = command.first().map_or("", String::as_str);
    stderr.lines().for_each(|line| tracing::info!("{program}: {line}"));
}
