//! The builder: what a program says is what the text says.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

#[allow(dead_code, reason = "each test file uses some of it")]
mod generate;
mod replay;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use konductor_dsl::build::{
    Body, Compare, Condition, Defaults, Dep, File, Index, Map, Number, Param, Pipeline, Range, Ref,
    Rejected, Schedule, Semaphore, Stage, Text, Type, Value,
};
use konductor_dsl::{Source, SourceId, ast, format, parse, text};
use tree::tree;

fn source(text: &str) -> Source {
    Source {
        id: SourceId(0),
        name: "test.kon".to_owned(),
        text: text.into(),
    }
}

/// Whether a program would build such a tree: it names a clause once, and gives approvals no others
/// than they have.
fn is_of_a_program(file: &ast::File) -> bool {
    let items = file.pipelines.iter().flat_map(|pipeline| &pipeline.items);
    items.into_iter().all(|item| {
        let (clauses, allowed) = match item {
            ast::Item::Stage(stage) => (
                &stage.clauses,
                [
                    "for", "after", "when", "holding", "quorum", "max", "parallel",
                ]
                .as_slice(),
            ),
            ast::Item::Approval(approval) => (&approval.clauses, ["after", "when"].as_slice()),
            _ => return true,
        };
        let words: BTreeSet<_> = clauses.iter().map(|clause| clause.kind.word()).collect();
        words.len() == clauses.len() && words.iter().all(|word| allowed.contains(word))
    })
}

/// The tree without maps of attributes that have none: `lease x {}` is `lease x`.
fn without_empty_maps(mut file: ast::File) -> ast::File {
    let drop_empty = |map: &mut Option<ast::Map>| {
        map.take_if(|map| map.entries.is_empty());
    };
    let bodies = |body: &mut ast::Body| {
        for item in &mut body.items {
            if let ast::BodyItem::Use { arguments, .. } = item {
                drop_empty(arguments);
            }
        }
    };
    for template in &mut file.templates {
        bodies(&mut template.body);
    }
    for item in file
        .pipelines
        .iter_mut()
        .flat_map(|pipeline| &mut pipeline.items)
    {
        match item {
            ast::Item::Stage(stage) => bodies(&mut stage.body),
            ast::Item::Defaults(defaults) => bodies(&mut defaults.body),
            ast::Item::Approval(approval) => drop_empty(&mut approval.attributes),
            ast::Item::Resource(resource) => drop_empty(&mut resource.attributes),
            ast::Item::Schedule(schedule) => drop_empty(&mut schedule.attributes),
            ast::Item::Param(_) | ast::Item::Attribute(_) => {}
        }
    }
    file
}

/// Builds what a text says, call by call, and holds the result against the laws.
fn replay_is_the_same(text: &str, name: &str) -> String {
    let (parsed, reported) = parse(&source(text));
    assert_eq!(reported, [], "{name}\n{text}");
    let parsed = tree(&without_empty_maps(parsed));
    let built = replay::file(&parse(&source(text)).0);
    assert_eq!(tree(built.ast()), parsed, "{name}: built\n{text}");
    let built = built.build("built.kon");
    let built = built.unwrap_or_else(|reported| {
        panic!("{name}: {reported}\n{text}\n--\n{}", reported.source.text)
    });
    let written = &*built.source.text;
    assert_eq!(
        tree(&built.file),
        parsed,
        "{name}: written\n{text}\n--\n{written}"
    );
    assert_eq!(format(&built.source).unwrap(), written, "{name}: laid out");
    written.to_owned()
}

#[test]
fn of_ten_thousand_generated_files_programs_build_the_same_trees() {
    let replayed: usize = std::thread::scope(|scope| {
        let threads = (0..4).map(|first| {
            scope.spawn(move || {
                let mut replayed = 0;
                for seed in (first..10_000).step_by(4) {
                    let text = generate::file(seed);
                    if is_of_a_program(&parse(&source(&text)).0) {
                        replay_is_the_same(&text, &format!("seed {seed}"));
                        replayed += 1;
                    }
                }
                replayed
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    // Others name a clause twice, which is an error.
    assert!(replayed >= 3_000, "only {replayed}");
}

#[test]
fn programs_build_the_trees_of_all_examples() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut built = 0;
    for folder in std::fs::read_dir(examples).unwrap() {
        for path in kon_files(&folder.unwrap().path()) {
            let text = std::fs::read_to_string(&path).unwrap();
            replay_is_the_same(&text, &path.display().to_string());
            built += 1;
        }
    }
    assert!(built >= 11, "only {built}");
}

fn kon_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(kon_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "kon") {
            files.push(path);
        }
    }
    files
}

/// Texts that would end a string, begin another thing, or be another text.
const HOSTILE: [&str; 24] = [
    "",
    "\"",
    "\\",
    "\\\"",
    "\"\"\"",
    "\" } stage evil { run = \"rm -rf /",
    "$",
    "$$",
    "${",
    "$${",
    "$$${x}",
    "${x}",
    "${HOME}",
    "${x.y[\"z\"]}",
    "a\nb",
    "\n",
    "\n\n",
    "  a\n  b",
    "a\r\nb",
    "a\n\"\"\"\nb",
    "ends in a dollar $",
    "größer \u{FEFF} \u{0}\u{1b}[31m \t",
    "# no comment",
    "a\n  b\n\n \n",
];

/// What a text says, as whoever reads it sees it.
fn said(text: &ast::Str) -> String {
    let parts = text.parts.iter().map(|part| match part {
        ast::Part::Text { text, .. } => text.clone(),
        ast::Part::Shell(_) => "${".to_owned(),
        ast::Part::Hole(reference, _) => format!("<{}>", reference.head.text),
    });
    parts.collect()
}

#[test]
fn texts_are_read_as_they_were_given_whatever_is_in_them() {
    for first in HOSTILE {
        for second in HOSTILE {
            let text = text![first, Ref::to("x"), second];
            for (text, layout) in [
                (text.clone(), "usual"),
                (text.clone().block(), "block"),
                (text.clone().line(), "line"),
            ] {
                let stage = Stage::new("a").run(text.clone()).env("X", text);
                let built = Pipeline::new("p").stage(stage).build("p.kon").unwrap();
                let expected = format!("{first}<x>{second}");
                let read = strings_of(&built.file);
                assert_eq!(
                    read,
                    [&*expected, &*expected],
                    "{layout}\n{}",
                    built.source.text
                );
            }
        }
    }
}

/// The strings of the one stage, `run` and the entry of `env`.
fn strings_of(file: &ast::File) -> Vec<String> {
    let [ast::Item::Stage(stage)] = &file.pipelines[0].items[..] else {
        panic!("{file:?}")
    };
    let of = |attribute: &ast::Attribute| match &attribute.value {
        ast::Value::String(text) => vec![said(text)],
        ast::Value::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.value {
                ast::Value::String(text) => said(text),
                other => panic!("{other:?}"),
            });
            entries.collect()
        }
        other => panic!("{other:?}"),
    };
    let items = stage.body.items.iter().flat_map(|item| match item {
        ast::BodyItem::Attribute(attribute) => of(attribute),
        other => panic!("{other:?}"),
    });
    items.collect()
}

#[test]
fn lists_of_outputs_and_all_items_are_written_as_in_a_file() {
    let sizes = Type::list(Type::record([Param::new("n", Type::int())]));
    let items = || [Index::variable("x"), Index::every()];
    let list = Ref::to("a").item(items()).field("n");
    let stage = Stage::new("b")
        .after(Dep::on("a").item(items()).finished())
        .exec([text![list]])
        .output(Param::new("sizes", sizes));
    let file = File::from(Pipeline::new("p").stage(stage));
    let built = file.build("p.kon").unwrap();
    let text = &built.source.text;
    for part in [
        "after a[x, *].finished",
        "${a[x, *].n}",
        "output sizes: list<{n: int}>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn hostile_texts_may_stand_anywhere_and_stay_texts() {
    for hostile in HOSTILE {
        let item = Ref::to("a").item([hostile, "x"]).field("rows");
        let stage = Stage::new("b")
            .for_each("i", [hostile, "y"])
            .after(Dep::on("a").item([Index::from(hostile), Index::from(3)]))
            .after(Dep::gate(hostile))
            .when(item.clone().equals(hostile))
            .exec([text!["--x=", item.clone(), hostile]])
            .label(hostile, hostile)
            .env("S", Value::secret(hostile, hostile))
            .uses("t", [(hostile, Value::from([hostile]))])
            .mount("data", hostile)
            .pod(hostile);
        let file = File::from(
            Pipeline::new("p")
                .description(hostile)
                .param(Param::new("x", Type::one_of([hostile, "z"])).default(hostile))
                .schedule(Schedule::new(hostile).time_zone(hostile))
                .stage(stage),
        );
        let built = file
            .build("p.kon")
            .unwrap_or_else(|reported| panic!("{hostile:?}: {reported}"));
        assert_eq!(tree(&built.file), tree(file.ast()), "{}", built.source.text);
    }
}

/// The diagnostics of a stage, as people see them.
fn reported(stage: Stage) -> String {
    rejected(Pipeline::new("p").stage(stage)).to_string()
}

fn rejected(pipeline: Pipeline) -> Rejected {
    pipeline.build("p.kon").unwrap_err()
}

#[test]
fn invalid_names_are_rejected_with_the_allowed_form() {
    let pipeline = Pipeline::new("Night")
        .param(Param::new("day of year", Type::int()))
        .semaphore(Semaphore::new("gate").permits(Number::new("2 or so")))
        .stage(
            Stage::new("a { run = \"x\" } stage b")
                .after("a_b")
                .image("x:1"),
        )
        .stage(Stage::new("").for_each("", 0..3));
    assert_eq!(
        rejected(pipeline).to_string(),
        "p.kon:1:10: K0104 `Night` can't be a name; lower-case letters, digits and single `-`, \
         starting with a letter; write `night`\n\
         p.kon:2:9: K0104 `day of year` can't be a name; lower-case letters, digits and single `-`, \
         starting with a letter; write `day-of-year`\n\
         p.kon:3:13: K0108 `gate` is a word of the language, not a name; choose another name\n\
         p.kon:3:30: K0101 `2 or so` is not a number; write digits and the unit, as in `3`, `0.5`, \
         `500m`, `1Gi`, `1h30m`\n\
         p.kon:4:9: K0104 `a { run = \"x\" } stage b` can't be a name; lower-case letters, digits and \
         single `-`, starting with a letter; write `a-run-x-stage-b`\n\
         p.kon:4:39: K0104 `a_b` can't be a name; lower-case letters, digits and single `-`, \
         starting with a letter; write `a-b`\n\
         p.kon:7:9: K0104 `` can't be a name; lower-case letters, digits and single `-`, starting \
         with a letter; write `a`\n\
         p.kon:7:14: K0104 `` can't be a name; lower-case letters, digits and single `-`, starting \
         with a letter; write `a`"
    );
}

#[test]
fn what_cannot_be_written_is_reported() {
    let nested = Ref::to("a").item([Index::from(text!["x", Ref::to("b")])]);
    let table: [(Stage, &str); 9] = [
        (
            Stage::new("a").image(text!["x:", nested]),
            "p.kon:3:22: K0106 an index inside of `${…}` can't have references in it; declare a \
             parameter with that value, and use its name",
        ),
        (
            Stage::new("a").after(Dep::any(Vec::<Dep>::new())),
            "p.kon:2:17: K0101 `any()` of nothing never holds; name one dependency at least",
        ),
        (
            Stage::new("a").when(Value::from(Map::new()).equals(1)),
            "p.kon:2:16: K0307 a condition can't look at a map, a secret or a config; compare texts, \
             numbers, lists and references",
        ),
        (
            Stage::new("a").when(Ref::to("true")),
            "p.kon:2:16: K0108 `true` is a word of the language, not a name; choose another name",
        ),
        (
            Stage::new("a").image(text!["x:", Ref::to("TAG")]),
            "p.kon:3:18: K0104 `TAG` can't be a name; lower-case letters, digits and single `-`, \
             starting with a letter; write `tag`",
        ),
        (
            Stage::new("a").image(text!["x:", Ref::to("b").field("c}")]),
            "p.kon:3:20: K0104 `c}` can't be a name; lower-case letters, digits and single `-`, \
             starting with a letter; write `c`",
        ),
        (
            Stage::new("a").after(Dep::on("b").item(Vec::<Index>::new())),
            "p.kon:2:18: K0405 an item needs an index for each loop variable; give it one at least",
        ),
        (
            Stage::new("a").output(Param::new("x", Type::record([]))),
            "p.kon:3:15: K0304 a record without fields; give it one field at least",
        ),
        (
            Stage::new("a").output(Param::new("x", Type::one_of(Vec::<Text>::new()))),
            "p.kon:3:15: K0304 a type of no strings; name one string at least",
        ),
    ];
    for (stage, expected) in table {
        assert_eq!(reported(stage), expected);
    }
}

#[test]
fn brackets_nested_too_deeply_end_in_an_error_and_not_in_a_crash() {
    let deep = (0..5_000).fold(Value::from(1), |inner, _| Value::from([inner]));
    let condition = (0..5_000).fold(Condition::from(Ref::to("x")), |inner, _| {
        !inner.and(Ref::to("y")).or(Ref::to("z"))
    });
    let ty = (0..5_000).fold(Type::int(), |inner, _| Type::list(inner));
    let stages = [
        Stage::new("a").attribute("args", deep),
        Stage::new("a").when(condition),
        Stage::new("a").output(Param::new("x", ty)),
    ];
    for stage in stages {
        let reported = rejected(Pipeline::new("p").stage(stage));
        let codes: Vec<&str> = reported
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code.name())
            .collect();
        assert_eq!(codes, ["K0103"], "{reported}");
    }
}

#[test]
fn durations_are_written_in_the_units_of_the_language() {
    let table = [
        (Duration::ZERO, "0s"),
        (Duration::from_secs(90), "1m30s"),
        (Duration::from_secs(86_400), "1d"),
        (Duration::from_secs(93_784), "1d2h3m4s"),
        (Duration::from_millis(1_500), "1s500ms"),
    ];
    for (duration, expected) in table {
        let stage = Stage::new("a").timeout(duration);
        let built = Pipeline::new("p").stage(stage).build("p.kon").unwrap();
        let written = format!("pipeline p {{\n  stage a {{\n    timeout = {expected}\n  }}\n}}\n");
        assert_eq!(&*built.source.text, written);
    }
}

#[test]
fn a_repeated_clause_extends_the_first_one() {
    let stage = Stage::new("z")
        .after("a")
        .for_each("x", ["1", "2"])
        .holding("s")
        .when(Ref::to("x").equals("1"))
        .quorum(1)
        .max(5)
        .parallel(2)
        .after(Dep::on("b").failed())
        .for_each("y", Range::below(0, Ref::to("n")))
        .holding_permits("t", 2)
        .when(Ref::to("y").at_least(1).or(Ref::to("dry")))
        .quorum(Ref::to("q"))
        .max(Ref::to("m"));
    let built = Pipeline::new("p").stage(stage).build("p.kon").unwrap();
    assert_eq!(
        &*built.source.text,
        r#"pipeline p {
  stage z
    after a, b.failed
    for x in ["1", "2"], y in 0..<n
    holding s, t(2)
    when x == "1" && (y >= 1 || dry)
    quorum q
    max m
    parallel 2
  {}
}
"#
    );
}

#[test]
fn entries_of_one_map_are_written_together() {
    let defaults = Defaults::new()
        .cpu(Number::new("500m"))
        .env("A", 1)
        .label("team", "data")
        .env("B", Ref::run("name"))
        .memory(Number::new("1Gi"))
        .node_selector("disk", "ssd")
        .tolerations([Map::new()
            .with("key", "gpu")
            .with("operator", Value::word("Exists"))])
        .node_selector("kubernetes.io/arch", "arm64");
    let built = Pipeline::new("p")
        .defaults(defaults)
        .build("p.kon")
        .unwrap();
    assert_eq!(
        &*built.source.text,
        r#"pipeline p {
  defaults {
    resources { cpu = 500m, memory = 1Gi }
    env { A = 1, B = run.name }
    labels { team = "data" }
    node {
      selector { disk = "ssd", "kubernetes.io/arch" = "arm64" }
      tolerations = [{ key = "gpu", operator = Exists }]
    }
  }
}
"#
    );
}

#[test]
fn ten_thousand_stages_are_built_as_they_are_read() {
    let stages = (0..10_000).map(|index| {
        let stage = Stage::new(format!("s{index}")).image("x:1").exec(["work"]);
        match index {
            0 => stage,
            _ => stage.after(format!("s{}", index / 2)),
        }
    });
    let pipeline = stages.fold(Pipeline::new("p"), Pipeline::stage);
    let file = File::from(pipeline);
    let built = file.build("p.kon").unwrap();
    assert_eq!(tree(&built.file), tree(file.ast()));
}
