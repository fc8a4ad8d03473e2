//! Quoting and commands, as a table.

use super::*;

#[test]
fn place_of_a_hole_follows_the_shells_quoting() {
    use Place::{Comment, Escaped, Literal, LiteralHeredoc, Split, Whole};
    let table: [(&str, &[Place]); 30] = [
        ("echo @", &[Split]),
        ("echo \"@\"", &[Whole]),
        ("echo '@'", &[Literal]),
        ("echo \"it's @\"", &[Whole]),
        ("echo 'a' @ \"@\"", &[Split, Whole]),
        ("echo \\@ \"\\@\"", &[Escaped, Escaped]),
        ("echo \\\" @", &[Split]),
        ("x=@", &[Whole]),
        ("A=1 x=@/y\"z\"@ cmd x=@", &[Whole, Whole, Split]),
        ("if true; then x=@; fi", &[Whole]),
        ("echo \"$(cat @)\"", &[Split]),
        ("echo \"$(cat \"@\")\" @", &[Whole, Split]),
        ("x=$(cat @)@", &[Split, Whole]),
        ("echo \"`cat @` @\"", &[Split, Whole]),
        ("echo \"${X:-@}\" ${X:-@}", &[Whole, Split]),
        ("echo $((@ + 1)) @", &[Whole, Split]),
        ("echo $(( (1 + 2) * @ ))", &[Whole]),
        ("# it's @\necho @", &[Comment, Split]),
        ("echo a#@", &[Split]),
        ("cat <<EOF\n@ 'x @'\nEOF\necho @", &[Whole, Whole, Split]),
        (
            "cat <<'EOF' | sort @\n@\nEOF\necho \"@\"",
            &[Split, LiteralHeredoc, Whole],
        ),
        ("cat <<-E\n\t@\n\tE\n@", &[Whole, Split]),
        (
            "(cd \"@\" && ls) ; case @ in a) ls @;; esac",
            &[Whole, Split, Split],
        ),
        (
            "echo \"$(case x in a) ls @;; (b) ls \"@\";; esac) @\"",
            &[Split, Whole, Whole],
        ),
        ("echo \"$( (ls; cd @) | sort @) @\"", &[Split, Split, Whole]),
        ("echo \"${x#'@'} @\"", &[Literal, Whole]),
        ("x=${y:-@} ls ${y:-@}", &[Whole, Split]),
        ("echo \"$(ls ${y:-@})\"", &[Split]),
        ("echo \\\n# it's @", &[Comment]),
        ("echo \"unclosed @", &[Whole]),
    ];
    for (script, expected) in table {
        let pieces: Vec<&str> = script.split('@').collect();
        assert_eq!(holes(&pieces).places, expected, "{script}");
    }
}

#[test]
fn every_hole_has_a_place_however_broken_the_script() {
    let parts = [
        "'", "\"", "`", "$(", "$((", "${", ")", "}", "<<A\n", "\\", "#", "\n", "@",
    ];
    let mut state: u32 = 7;
    for _ in 0..20_000 {
        let mut script = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            script.push_str(parts[(state >> 16) as usize % parts.len()]);
        }
        let pieces: Vec<&str> = script.split('@').collect();
        assert_eq!(holes(&pieces).places.len(), pieces.len() - 1, "{script:?}");
    }
}

#[test]
fn holes_that_become_code_are_found_in_scripts() {
    // `@` is a hole; the numbers are those that are code.
    let table: [(&str, &[usize]); 92] = [
        ("echo \"@\"", &[]),
        ("bash -c \"echo @\"", &[0]),
        ("bash -c 'echo @'", &[0]),
        ("bash -c 'echo \"$1\"' bash \"@\"", &[]),
        ("if true; then sh -ec \"@\"; fi", &[0]),
        ("A=1 B=@ sh -c \"@\"", &[1]),
        ("! sh -c @ || true", &[0]),
        ("(cd /x && sh -c \"@\")", &[0]),
        ("{ sh -c \"@\"; }", &[0]),
        ("while sh -c \"@\"; do eval \"@\"; done", &[0, 1]),
        ("x=$(python3 -c \"print('@')\")", &[0]),
        ("echo \"$(perl -e \"@\") @\"", &[0]),
        ("echo \"`perl -e '@'` @\"", &[0]),
        ("eval \"x=@\"", &[0]),
        ("eval echo '@' \"@\"", &[0, 1]),
        ("trap \"rm @\" EXIT", &[0]),
        ("trap 'rm \"$x\"' EXIT; echo \"@\"", &[]),
        ("\"$SHELL\" -c \"@\"", &[0]),
        ("/bin/bash -o pipefail -c \"@\" x @", &[0]),
        ("sh -c \"$(cat \"@\")\"", &[]),
        ("bash <<EOF\necho @\nEOF\necho \"@\"", &[0]),
        ("bash -s \"@\" <<EOF\necho @\nEOF", &[1]),
        ("python3 - <<-EOF\n\tprint('@')\n\tEOF\necho @", &[0]),
        ("python3 script.py <<EOF\n@\nEOF", &[]),
        ("cat <<EOF | bash\n@\nEOF", &[0]),
        ("cat <<EOF | sort\n@\nEOF", &[]),
        ("cat <<A; sh <<B\n@\nA\n@\nB", &[1]),
        ("cat <<EOF\n@\nEOF", &[]),
        ("bash <<< \"@\"", &[0]),
        ("cat <<< \"@\"", &[]),
        ("echo \"@\" | bash", &[0]),
        ("echo \"@\" 2>&1 | bash -s", &[0]),
        ("echo \"@\" | sort | bash", &[0]),
        ("echo \"@\" || bash", &[]),
        ("printf 'print(%s)' \"@\" |\n python3", &[0]),
        ("echo \"@\" | python3 script.py", &[]),
        ("echo \"@\" | xargs sh -c 'echo \"$1\"' sh", &[]),
        ("xargs -I{} sh -c \"@ {}\" < list", &[0]),
        ("sh -c \"x\" > \"@\"", &[]),
        ("sh > \"@\" -c \"@\"", &[1]),
        ("ssh host \"ls @\"", &[0]),
        ("ssh \"@\" ls", &[]),
        ("awk \"{ print \\\"@\\\" }\" file", &[0]),
        ("awk -v x=\"@\" '{ print x }' \"@\"", &[]),
        ("case @ in a) eval \"@\";; esac", &[1]),
        ("echo \"@\" | cat | tr a b | sh", &[0]),
        ("echo \"@\" | base64 -d | bash", &[0]),
        ("curl \"@\" | bash", &[]),
        ("grep \"@\" list | bash", &[]),
        ("source <(echo \"@\")", &[0]),
        (". <(printf '%s' \"@\") \"@\"", &[0]),
        ("source \"@\"", &[]),
        ("bash <(echo \"@\") \"@\"", &[0]),
        ("python3 -u <(echo \"@\")", &[0]),
        ("diff <(echo \"@\") <(sort \"@\")", &[]),
        ("bash < <(echo \"@\")", &[0]),
        ("sort < <(echo \"@\")", &[]),
        ("echo \"@\" > >(bash)", &[0]),
        ("source /dev/stdin <<< \"@\"", &[0]),
        (". /dev/stdin <<EOF\n@\nEOF", &[0]),
        ("echo \"@\" | bash /dev/fd/0", &[0]),
        ("eval \"$(echo \"@\")\"", &[0]),
        ("sh -c \"$(printf 'ls %s' \"@\")\"", &[0]),
        ("sh -c \"`echo \"@\"`\"", &[0]),
        ("eval \"$(cat <<EOF\n@\nEOF\n)\"", &[0]),
        ("bash -c \"$(echo \"$(echo \"@\")\")\"", &[0]),
        ("eval \"$(ssh-agent -t \"@\")\"", &[]),
        ("echo $((\"@\" + 1)) \"@\"", &[0]),
        ("echo \"$(( ${X:-@} + 1 ))\"", &[0]),
        ("echo $(( $(wc -l < \"@\") * 2 ))", &[]),
        ("(( x = \"@\" )); echo \"@\"", &[0]),
        ("for ((i = 0; i < @; i++)); do echo \"@\"; done", &[0]),
        ("if [[ \"@\" -eq 1 ]]; then echo \"@\"; fi", &[0]),
        ("[[ 5 -gt \"@\" && \"@\" = x ]]", &[0]),
        ("[ \"@\" -eq 1 ] && [[ \"@\" == 1 ]]", &[]),
        ("test -v \"@\"", &[0]),
        ("let \"x = @\"", &[0]),
        ("timeout 5 watch \"ls @\"", &[0]),
        ("npm run watch \"@\"", &[]),
        ("# eval @\necho '# eval' @", &[]),
        ("BASH_ENV=\"@\" bash x.sh \"@\"", &[0]),
        ("PS4=\"@\"", &[0]),
        (
            "if GIT_SSH_COMMAND+=\"$(echo \"@\")\" git fetch; then x=\"@\"; fi",
            &[0],
        ),
        ("export A=\"@\" LD_PRELOAD=\"@\"", &[1]),
        ("git -c user.name=\"@\" -c core.sshCommand=\"@\" pull", &[1]),
        ("git switch -c \"@\"", &[]),
        ("ssh -o \"ProxyCommand=nc @ 1\" host <<EOF\n@\nEOF", &[0, 1]),
        ("find . -name \"@\" -exec \"@\" {} \\;", &[1]),
        ("ls | xargs \"@\"", &[0]),
        ("echo \"@\" | xargs -I{} sh -c 'echo {}'", &[0]),
        ("echo \"@\" | xargs -n1 echo", &[]),
        ("echo \"@\" | at now", &[0]),
    ];
    for (script, expected) in table {
        let pieces: Vec<&str> = script.split('@').collect();
        let code: Vec<usize> = holes(&pieces).code.iter().map(|(hole, _)| *hole).collect();
        assert_eq!(code, expected, "{script}");
    }
}

#[test]
fn a_quote_is_open_only_where_every_shell_says_so() {
    let closed = [
        "w=${v#*'\"'}",
        "w=\"${v#*'\"'}\"",
        "w=\"${v%%'\"'*}\"",
        "echo \"${v:-it's}\" \"${v-it's}\" \"${#v}\"",
        "echo \"${v/'/x}\"",
        "m=\"$(case \"$1\" in a) echo \"it's a\";; esac)\"",
        "m=\"$(if x; then case $1 in (a) y;; b|c) echo \"it's\"; esac; fi)\"",
        "m=\"$(case $1 in\nif) (x; y) ;;\n*) ;; esac; echo \"it's\")\"",
        "m=\"$( (cd x; ls) | grep \"it's\" )\"",
        "m=\"$(f() { echo \"it's\"; }; f)\"",
        "m=\"$((cd x; ls) | grep \"it's\")\"",
        "echo a \\\n# it's a comment",
        "m=`ls # it's` && echo",
        "m=\"`echo \\\"it's\\\"`\"",
        "cat <<'it is'\n\"\nit is\necho \"it's\"",
        "cat <<\"it's\"\nx\nit's",
        "m=\"$(x=`cat <<E\nit's\nE`)\"",
        "echo $'it\\'s'",
        "a=(x y); echo \"it's ${a[0]}\"",
    ];
    for script in closed {
        assert_eq!(holes(&[script]).open_quote, None, "{script}");
    }
    let open = [
        ("echo it's done", "'s done"),
        ("echo \"a\necho b", "\"a"),
        ("case x in a) echo it's;; esac", "'s;; esac"),
        ("echo a\\\n#it's", ""),
        ("w=\"${v:-'\"'}\"", "\""),
    ];
    for (script, rest) in open {
        let quote = holes(&[script]).open_quote;
        let quote = quote.map(|open| open.rest).unwrap_or_default();
        assert!(quote.starts_with(rest), "{script}: {quote}");
    }
}
