//! Settings that are executed: options of programs, and environment variables.
//!
//! What enters: the words behind a program's name, or the name of a variable. What leaves: which of
//! them a program would execute. What must never happen here: a setting that is only data, such as
//! `git -c user.name=…` or a search path.

use super::HOLE;

/// Settings of ssh that hold a command, or a library that is loaded.
const SSH: [&str; 8] = [
    "knownhostscommand",
    "localcommand",
    "match",
    "pkcs11provider",
    "proxycommand",
    "remotecommand",
    "securitykeyprovider",
    "xauthlocation",
];
/// Flags of ssh, scp and sftp that take a word.
const SSH_TAKES: &str = "bBcDEeFIiJLlmOpPQRSWwX";

/// Sections of git's settings in which some hold a command.
const GIT_SECTIONS: [&str; 20] = [
    "alias",
    "browser",
    "core",
    "credential",
    "diff",
    "difftool",
    "filter",
    "gpg",
    "guitool",
    "include",
    "includeif",
    "interactive",
    "merge",
    "mergetool",
    "pager",
    "remote",
    "sendemail",
    "sequence",
    "submodule",
    "uploadpack",
];
/// The settings among them, by their last part.
const GIT_NAMES: [&str; 25] = [
    "alternaterefscommand",
    "askpass",
    "cccmd",
    "clean",
    "cmd",
    "command",
    "difffilter",
    "driver",
    "editor",
    "external",
    "fsmonitor",
    "gitproxy",
    "helper",
    "hookspath",
    "packobjectshook",
    "pager",
    "process",
    "program",
    "receivepack",
    "sendmailcmd",
    "smudge",
    "sshcommand",
    "textconv",
    "tocmd",
    "uploadpack",
];
/// Flags of git's commands that take a command.
const GIT_FLAGS: [(&[&str], &[&str]); 6] = [
    (
        &["clone", "fetch", "fetch-pack", "ls-remote", "pull"],
        &["-u", "--upload-pack", "--exec"],
    ),
    (
        &["archive", "push", "send-pack"],
        &["--receive-pack", "--exec"],
    ),
    (&["rebase"], &["-x", "--exec"]),
    (&["difftool"], &["-x", "--extcmd"]),
    (&["grep"], &["-O", "--open-files-in-pager"]),
    (
        &["filter-branch"],
        &[
            "--setup",
            "--env-filter",
            "--tree-filter",
            "--index-filter",
            "--parent-filter",
            "--msg-filter",
            "--commit-filter",
            "--tag-name-filter",
        ],
    ),
];

/// Variables that a program executes, loads, or reads as its own options. `ENV` is none: only
/// interactive shells read it, and elsewhere it is the name of an environment. Search paths are none.
const VARIABLES: [&str; 52] = [
    "BASH_ENV",
    "BROWSER",
    "DYLD_INSERT_LIBRARIES",
    "EDITOR",
    "ERL_AFLAGS",
    "ERL_FLAGS",
    "ERL_ZFLAGS",
    "EXINIT",
    "FCEDIT",
    "GIT_ASKPASS",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EDITOR",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GNUMAKEFLAGS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "KUBE_EDITOR",
    "LD_AUDIT",
    "LD_PRELOAD",
    "LESSCLOSE",
    "LESSOPEN",
    "LUA_INIT",
    "LUA_INIT_5_1",
    "LUA_INIT_5_2",
    "LUA_INIT_5_3",
    "LUA_INIT_5_4",
    "MAKEFLAGS",
    "MANPAGER",
    "MFLAGS",
    "NODE_OPTIONS",
    "PAGER",
    "PERL5DB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PSQL_EDITOR",
    "PSQL_PAGER",
    "PYTHONBREAKPOINT",
    "PYTHONSTARTUP",
    "RSYNC_RSH",
    "RUBYOPT",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "TAR_OPTIONS",
    "VIMINIT",
    "VISUAL",
    "_JAVA_OPTIONS",
];

/// Whether some program executes what an environment variable holds.
pub(crate) fn is_executed_variable(name: &str) -> bool {
    // What bash takes for an exported function.
    name.starts_with("BASH_FUNC_") || VARIABLES.contains(&name)
}

/// The words of a command line that set such a variable, as for `env` or `export`.
pub(super) fn variables(words: &[String]) -> impl Iterator<Item = usize> + '_ {
    let words = words.iter().enumerate();
    words.filter_map(|(at, word)| {
        let word = word
            .strip_prefix("--env=")
            .or_else(|| word.strip_prefix("-e"))
            .unwrap_or(word);
        let (name, _) = word.split_once('=')?;
        is_executed_variable(name.trim_end_matches('+')).then_some(at)
    })
}

/// `-o KEY=VALUE`, where the key says that the value is executed.
pub(super) fn ssh(words: &[String]) -> Vec<usize> {
    let mut code = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
            continue;
        };
        let letters = letters.trim_start_matches(|c| c != 'o' && !SSH_TAKES.contains(c));
        let Some(setting) = letters.strip_prefix('o') else {
            continue;
        };
        let (at, setting) = match (setting, words.get(at + 1)) {
            ("", Some(next)) => (at + 1, next.as_str()),
            _ => (at, setting),
        };
        let key = setting.trim_start().split(['=', ' ', '\t']).next();
        let key = key.unwrap_or_default().to_ascii_lowercase();
        if key.contains(HOLE) || SSH.contains(&key.as_str()) {
            code.push(at);
        }
    }
    code
}

/// `git -c KEY=VALUE`, `git config KEY VALUE`, and the flags and commands of git that start something.
pub(super) fn git(words: &[String]) -> Vec<usize> {
    let mut code = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += 1;
        match word.as_str() {
            "-c" => {
                code.extend(git_setting(words, at));
                at += 1;
            }
            "-C" | "--git-dir" | "--work-tree" | "--namespace" | "--config-env" => at += 1,
            _ => {}
        }
    }
    let Some(command) = words.get(at).map(String::as_str) else {
        return code;
    };
    let first = at + 1;
    let flags = GIT_FLAGS
        .iter()
        .filter(|(commands, _)| commands.contains(&command))
        .flat_map(|(_, flags)| *flags);
    let rest = words.iter().enumerate().skip(first);
    for flag in flags {
        code.extend(rest.clone().filter_map(|(at, word)| {
            let behind = word.strip_prefix(flag)?;
            match (behind, flag.starts_with("--")) {
                ("", _) => (at + 1 < words.len()).then_some(at + 1),
                (_, true) => behind.starts_with('=').then_some(at),
                (_, false) => Some(at),
            }
        }));
    }
    match (command, words.get(first).map(String::as_str)) {
        ("bisect", Some("run")) | ("submodule", Some("foreach")) => {
            code.extend(first + 1..words.len());
        }
        ("clone", _) => {
            let is_setting = |word: &String| word == "-c" || word == "--config";
            let settings = rest.filter(|(_, word)| is_setting(word));
            code.extend(settings.filter_map(|(at, _)| git_setting(words, at + 1)));
        }
        ("config", _) => {
            let takes = ["-f", "--file", "--type", "--default", "--comment", "--blob"];
            let is_operand = |(at, word): &(usize, &String)| {
                !word.starts_with('-') && !takes.contains(&words[at - 1].as_str())
            };
            let mut operands = rest.filter(is_operand).peekable();
            operands.next_if(|(_, word)| word.as_str() == "set");
            if let (Some((key_at, key)), Some((value_at, _))) = (operands.next(), operands.next())
                && git_executes(key)
            {
                code.extend([key_at, value_at]);
            }
        }
        _ => {}
    }
    code
}

/// The place of a word `KEY=VALUE`, if git executes the value.
fn git_setting(words: &[String], at: usize) -> Option<usize> {
    let word = words.get(at)?;
    let key = word.split('=').next().unwrap_or_default();
    git_executes(key).then_some(at)
}

fn git_executes(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let section = key.split('.').next().unwrap_or_default();
    if section.contains(HOLE) {
        return true;
    }
    let name = key.rsplit('.').next().unwrap_or_default();
    GIT_SECTIONS.contains(&section)
        && (key.contains(HOLE)
            || matches!(section, "alias" | "pager" | "include" | "includeif")
            || (section, name) == ("submodule", "update")
            || GIT_NAMES.contains(&name))
}

/// What the program that `xargs` starts gets, with [`HOLE`] for what `xargs` reads.
pub(super) fn xargs_line(words: &[String]) -> Vec<String> {
    let mut token = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next().filter(|word| word.starts_with('-')) {
        let attached = word
            .strip_prefix("-I")
            .or_else(|| word.strip_prefix("--replace="));
        match (word.as_str(), attached) {
            ("-I", _) => token = rest.next().cloned(),
            ("-i" | "--replace", _) => token = Some("{}".to_owned()),
            (_, Some(attached)) => token = Some(attached.to_owned()),
            _ => {}
        }
    }
    let hole = HOLE.to_string();
    let token = token.filter(|token| !token.is_empty());
    // What is a hole itself is looked at without `xargs`.
    let mut line: Vec<String> = words.iter().map(|word| word.replace(HOLE, "")).collect();
    match token {
        Some(token) => {
            for word in &mut line {
                *word = word.replace(&token, &hole);
            }
        }
        None => line.push(hole),
    }
    line
}
