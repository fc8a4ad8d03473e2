//! Command lines, and which of their words are code.

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split(' ')
        .map(|word| word.replace('@', "\u{fffc}"))
        .collect()
}

#[test]
fn code_of_every_interpreter_is_found_wherever_it_stands() {
    use Language::{Awk, Eval, Node, Other, Perl, Python, Remote, Ruby, Sed, Shell};
    let table: [(&str, &[(usize, Language)]); 85] = [
        ("sh -c @", &[(2, Shell)]),
        ("/bin/sh -lc @", &[(2, Shell)]),
        ("bash -euo pipefail -c @ bash x", &[(4, Shell)]),
        ("bash -o pipefail -ec @", &[(4, Shell)]),
        ("bash +x -c -e @ y", &[(4, Shell)]),
        ("bash -c -- @", &[(3, Shell)]),
        ("bash --norc --rcfile f -c @", &[(5, Shell)]),
        ("bash -@ @", &[(2, Shell)]),
        ("bash script.sh -c @", &[]),
        ("bash -c true bash @", &[(2, Shell)]),
        ("zsh -fc @", &[(2, Shell)]),
        ("fish --command=@", &[(1, Shell)]),
        ("fish --command @", &[(2, Shell)]),
        ("$SHELL -c @", &[(2, Shell)]),
        ("env bash -c @", &[(3, Shell)]),
        ("env A=1 /bin/ash -ec @", &[(4, Shell)]),
        ("/usr/bin/env -S @", &[(2, Eval)]),
        ("busybox sh -c @", &[(3, Shell)]),
        ("timeout 5 sh -c @", &[(4, Shell)]),
        ("timeout -k 5 10 dash -c @", &[(6, Shell)]),
        ("xargs -0 -n1 sh -c @ sh", &[(5, Shell)]),
        ("find . -exec sh -c @ ;", &[(5, Shell)]),
        ("kubectl exec pod -- bash -c @", &[(6, Shell)]),
        ("docker run image sh -c @", &[(5, Shell)]),
        ("tini -- nice -n 5 bash -c @", &[(7, Shell)]),
        ("su - postgres -c @", &[(4, Shell)]),
        ("su -c @ postgres", &[(2, Shell)]),
        ("runuser -u x --command=@", &[(3, Shell)]),
        ("flock -n /lock -c @", &[(4, Shell)]),
        ("script -qc @ /dev/null", &[(2, Shell)]),
        ("python -c @", &[(2, Python)]),
        ("python3.13 -Ic @", &[(2, Python)]),
        ("/usr/bin/python3 -W ignore -X dev -c @", &[(6, Python)]),
        ("python3 -cprint(@)", &[(1, Python)]),
        ("python3 -m module -c @", &[]),
        ("python3 script.py -c @", &[]),
        ("poetry run python -c @", &[(4, Python)]),
        ("node -e @", &[(2, Node)]),
        ("node -pe @", &[(2, Node)]),
        ("node --eval=@", &[(1, Node)]),
        ("node -r x --print @", &[(4, Node)]),
        ("node server.js -e @", &[]),
        ("deno eval @", &[(2, Node)]),
        ("perl -e @", &[(2, Perl)]),
        ("perl -lane @ file", &[(2, Perl)]),
        ("perl -ne print(@)", &[(2, Perl)]),
        ("perl -eprint(@)", &[(1, Perl)]),
        ("perl -Mre -pi -e @ file", &[(4, Perl)]),
        ("bash -co pipefail @", &[(3, Shell)]),
        ("deno run x.ts @", &[]),
        ("ruby -rjson -ne @", &[(3, Ruby)]),
        ("php -r @", &[(2, Other)]),
        ("php -f x.php @", &[]),
        ("Rscript -e @", &[(2, Other)]),
        ("lua5.4 -e @", &[(2, Other)]),
        ("julia --eval=@", &[(1, Other)]),
        ("erl -noshell -eval @", &[(3, Other)]),
        ("pwsh -NoProfile -Command @ @", &[(3, Other), (4, Other)]),
        ("pwsh -ExecutionPolicy x -File @", &[]),
        ("awk @ file", &[(1, Awk)]),
        ("awk -F , -v a=@ {print} @", &[(5, Awk)]),
        ("gawk -f prog.awk @", &[]),
        ("busybox awk @", &[(2, Awk)]),
        ("sed s/a/@/ file", &[(1, Sed)]),
        ("sed -n -E -e @ -e p file", &[(4, Sed), (6, Sed)]),
        ("sed -i.bak --expression=@ file", &[(2, Sed)]),
        ("busybox sed @", &[(2, Sed)]),
        ("sed -f script.sed @", &[]),
        ("sed s/a/b/ @", &[(1, Sed)]),
        ("sed --sandbox s/a/@/", &[]),
        ("env -i bash -ec @", &[(4, Shell)]),
        ("env -S@", &[(1, Eval)]),
        ("sudo -u x sh -lc @", &[(5, Shell)]),
        ("dumb-init -- timeout 5 sh -xc @", &[(6, Shell)]),
        ("eval echo @", &[(1, Eval), (2, Eval)]),
        ("builtin eval @", &[(2, Eval)]),
        ("trap @ EXIT", &[(1, Eval)]),
        ("watch -n 5 ls @", &[(3, Eval), (4, Eval)]),
        ("parallel -j 4 run @ ::: @", &[(3, Eval), (4, Eval)]),
        ("ssh -p 22 host ls @", &[(4, Remote), (5, Remote)]),
        ("ssh @", &[]),
        ("etl load --code -c @", &[]),
        ("psql -c @", &[]),
        ("echo bash -c @", &[]),
        ("grep sh -c @", &[]),
    ];
    for (line, expected) in table {
        assert_eq!(code_words(&words(line)), expected, "{line}");
    }
}

#[test]
fn a_standard_input_that_is_executed_is_found() {
    let table = [
        ("bash", true),
        ("bash -s @", true),
        ("bash -eu", true),
        ("sh script.sh", false),
        ("sh -c true", false),
        ("python3 -", true),
        ("python3 -u", true),
        ("python3 -m module", false),
        ("python3 script.py", false),
        ("perl", true),
        ("node", true),
        ("ssh host", true),
        ("ssh host bash -s", true),
        ("ssh host sort", false),
        ("kubectl exec -i pod -- sh", true),
        ("cat", false),
        ("psql -f -", false),
        ("xargs sh -c true sh", false),
    ];
    for (line, expected) in table {
        assert_eq!(executes_input(&words(line)).is_some(), expected, "{line}");
    }
}
