//! `docs/cli.md`: every command with its help.

use clap::CommandFactory;

use super::Arguments;

/// Every command with its help, in Markdown; what all understand is shown once.
fn reference(command: &clap::Command, path: &str, text: &mut String) {
    let top = !path.contains(' ');
    let shown = command.clone().term_width(100).mut_args(|arg| {
        let global = arg.is_global_set();
        arg.hide_env_values(true).hide(global && !top)
    });
    let help = shown.disable_help_flag(!top).clone().render_help();
    let heading = if top { "##" } else { "###" };
    text.push_str(&format!("\n{heading} {path}\n\n```text\n"));
    for line in help.to_string().trim_end().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("```\n");
    let subcommands = command.get_subcommands();
    let shown = |sub: &&clap::Command| sub.get_name() != "help" && !sub.is_hide_set();
    for sub in subcommands.filter(shown) {
        reference(sub, &format!("{path} {}", sub.get_name()), text);
    }
}

#[test]
fn the_cli_reference_is_what_help_says() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let known = std::fs::read_to_string(&file).expect("docs/cli.md");
    let head = known.split("\n## koncli\n").next().unwrap_or_default();
    let mut text = head.to_owned();
    let mut command = Arguments::command();
    command.build();
    reference(&command, "koncli", &mut text);
    crate::bless::compare(&file, &text);
}
