//! Files that nobody would write: every construct of the grammar, with comments, blank lines and odd
//! spacing between any two tokens. The same seed gives the same file.

/// SplitMix64: small, and good enough to reach every branch below.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a usize fits");
        usize::try_from(self.roll() % count).expect("it is below a usize")
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// How wild the spacing of a file is.
#[derive(Clone, Copy)]
struct Habits {
    newline: &'static str,
    /// One blank between tokens, but in one of so many places something else.
    odd_in: usize,
    /// Odd spacing is a comment in one of so many places.
    comment_in: usize,
}

struct Writer {
    dice: Dice,
    habits: Habits,
    out: String,
    comments: usize,
    depth: usize,
}

/// A file that parses.
pub(crate) fn file(seed: u64) -> String {
    let mut dice = Dice(seed);
    let habits = Habits {
        newline: dice.pick(&["\n", "\n", "\r\n"]),
        odd_in: [2, 5, 20][dice.below(3)],
        comment_in: [2, 4, 1000][dice.below(3)],
    };
    let mut writer = Writer {
        dice,
        habits,
        out: String::new(),
        comments: 0,
        depth: 0,
    };
    if writer.dice.chance(20) {
        writer.out.push('\u{FEFF}');
    }
    for _ in 0..writer.dice.below(3) {
        writer.words(&["import"]);
        writer.string();
    }
    for _ in 0..writer.dice.below(2) {
        writer.template();
    }
    for _ in 0..1 + writer.dice.below(6) / 5 {
        writer.pipeline();
    }
    writer.blank();
    writer.out
}

impl Writer {
    /// What may stand between two tokens.
    fn blank(&mut self) {
        self.out.push(' ');
        while self.dice.chance(self.habits.odd_in) {
            if self.dice.chance(self.habits.comment_in) {
                self.comment();
                continue;
            }
            let odd = self
                .dice
                .pick(&["\n", "\n", "\n\n", "\n\n\n", "\t", "    ", "\n  \n "]);
            self.out.push_str(&odd.replace('\n', self.habits.newline));
        }
    }

    fn comment(&mut self) {
        self.comments += 1;
        let text = self
            .dice
            .pick(&["", " why", "!", " \"quoted", " }", " größer, ", " \"\"\" x"]);
        let end = self.dice.pick(&["", "", "  "]);
        let newline = self.habits.newline;
        self.out
            .push_str(&format!("#{}{text}{end}{newline}", self.comments));
    }

    fn token(&mut self, token: &str) {
        self.blank();
        self.out.push_str(token);
    }

    /// A token that follows without a blank, mostly.
    fn close(&mut self, token: &str) {
        if self.dice.chance(4) {
            self.blank();
        }
        self.out.push_str(token);
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.token(word);
        }
    }

    fn name(&mut self) {
        let name = self.dice.pick(&[
            "a",
            "b-c",
            "load2",
            "extract",
            "a-name-of-forty-characters-no-less-9",
        ]);
        self.token(name);
    }

    fn number(&mut self) {
        let number = self
            .dice
            .pick(&["0", "3", "-1", "0.5", "500m", "1Gi", "1h30m", "10000"]);
        self.token(number);
    }

    fn string(&mut self) {
        if self.dice.chance(8) {
            return self.block();
        }
        let text = self.dice.pick(&[
            "",
            "x",
            "say \\\"no\\\" \\u{e9}\\n",
            "# no comment",
            "${a} and ${b[\"}\"].c} and ${HOME} and $${a} and $1",
            "größer",
            "a text that is long enough to take most of a line together with whatever is around it",
        ]);
        self.token(&format!("\"{text}\""));
    }

    fn block(&mut self) {
        let text = self.dice.pick(&[
            "",
            " \n\n ",
            "on one line",
            "\n  echo a\n    echo b # no comment\n\n  echo \"${a}\" ${HOME}\n",
            "\n\n\tkey: |\n\t  text\n\t",
            "first\n  second\n third",
            "\n    a\n  b\n        ",
            "\n a  \n  \n      \n b\n\n\n",
            "\n  \n  a\n  \n",
        ]);
        let text = text.replace('\n', self.habits.newline);
        self.token(&format!("\"\"\"{text}\"\"\""));
    }

    /// One or more, separated by commas.
    fn list(&mut self, count: usize, mut each: impl FnMut(&mut Self)) {
        for index in 0..count {
            if index > 0 {
                self.close(",");
            }
            each(self);
        }
    }

    fn comma(&mut self, one_in: usize) {
        if self.dice.chance(one_in) {
            self.close(",");
        }
    }

    fn template(&mut self) {
        self.words(&["template"]);
        self.name();
        self.close("(");
        let count = self.dice.below(4);
        self.list(count, Self::param);
        if count > 0 {
            self.comma(3);
        }
        self.close(")");
        self.body();
    }

    fn pipeline(&mut self) {
        self.words(&["pipeline"]);
        self.name();
        self.token("{");
        for _ in 0..self.dice.below(12) {
            match self.dice.below(10) {
                0 => {
                    self.words(&["param"]);
                    self.param();
                }
                1 => {
                    self.words(&["schedule"]);
                    self.string();
                    self.maybe_map();
                }
                2 | 3 => {
                    let kind = self.dice.pick(&["semaphore", "lease", "workspace"]);
                    self.words(&[kind]);
                    self.name();
                    self.maybe_map();
                }
                4 => {
                    self.words(&["approval"]);
                    self.name();
                    self.clauses();
                    self.maybe_map();
                    // A comma would continue the last clause.
                    continue;
                }
                5 => {
                    self.words(&["defaults"]);
                    self.body();
                }
                6 => self.attribute(),
                _ => {
                    if self.dice.chance(5) {
                        self.words(&["finally"]);
                    }
                    self.words(&["stage"]);
                    self.name();
                    self.clauses();
                    self.body();
                }
            }
            self.comma(6);
        }
        self.token("}");
    }

    fn param(&mut self) {
        self.name();
        self.close(":");
        self.kind();
        if self.dice.chance(2) {
            self.token("=");
            self.value();
        }
    }

    fn kind(&mut self) {
        self.depth += 1;
        match self.dice.below(if self.depth > 4 { 4 } else { 6 }) {
            0 | 1 => {
                let scalar = self
                    .dice
                    .pick(&["string", "int", "number", "bool", "duration", "quantity"]);
                self.token(scalar);
            }
            2 => {
                self.words(&["int", "in"]);
                self.range();
            }
            3 => {
                self.string();
                for _ in 0..self.dice.below(3) {
                    self.token("|");
                    self.string();
                }
            }
            4 => {
                self.words(&["list"]);
                self.close("<");
                self.kind();
                self.close(">");
            }
            _ => {
                self.token("{");
                let count = 1 + self.dice.below(3);
                self.list(count, Self::param);
                self.comma(4);
                self.close("}");
            }
        }
        self.depth -= 1;
    }

    fn range(&mut self) {
        self.bound();
        let operator = self.dice.pick(&["..", "..<"]);
        self.token(operator);
        self.bound();
    }

    fn bound(&mut self) {
        match self.dice.chance(3) {
            true => self.reference(),
            false => self.number(),
        }
    }

    fn clauses(&mut self) {
        for _ in 0..self.dice.below(4) {
            let count = 1 + self.dice.below(4);
            match self.dice.below(6) {
                0 => {
                    self.words(&["for"]);
                    self.list(count, |writer| {
                        writer.name();
                        writer.words(&["in"]);
                        match writer.dice.below(3) {
                            0 => writer.range(),
                            1 => writer.values(),
                            _ => writer.reference(),
                        }
                    });
                }
                1 => {
                    self.words(&["after"]);
                    self.list(count, Self::dependency);
                }
                2 => {
                    self.words(&["when"]);
                    self.expression();
                }
                3 => {
                    self.words(&["holding"]);
                    self.list(count, |writer| {
                        writer.name();
                        if writer.dice.chance(3) {
                            writer.close("(");
                            writer.bound();
                            writer.close(")");
                        }
                    });
                }
                _ => {
                    let word = self.dice.pick(&["quorum", "max", "parallel"]);
                    self.words(&[word]);
                    self.bound();
                }
            }
        }
    }

    fn dependency(&mut self) {
        self.depth += 1;
        match self.dice.below(if self.depth > 3 { 6 } else { 8 }) {
            0 => {
                let kind = self.dice.pick(&["pipeline", "gate", "barrier"]);
                self.words(&[kind]);
                self.close("(");
                self.string();
                self.close(")");
                if self.dice.chance(2) {
                    self.words(&["within"]);
                    self.number();
                }
            }
            1..6 => {
                self.name();
                self.address();
                if self.dice.chance(4) {
                    self.close(".");
                    let state = self.dice.pick(&["failed", "skipped", "finished"]);
                    self.close(state);
                }
            }
            _ => {
                self.words(&["any"]);
                self.close("(");
                let count = 1 + self.dice.below(4);
                self.list(count, Self::dependency);
                self.comma(4);
                self.close(")");
            }
        }
        self.depth -= 1;
    }

    fn address(&mut self) {
        if !self.dice.chance(4) {
            return;
        }
        self.close("[");
        let count = 1 + self.dice.below(3);
        self.list(count, |writer| match writer.dice.below(4) {
            0 => writer.string(),
            1 => writer.number(),
            2 => writer.token("*"),
            _ => writer.name(),
        });
        self.close("]");
    }

    fn reference(&mut self) {
        match self.dice.chance(5) {
            true => {
                let root = self.dice.pick(&["run", "token", "workspace"]);
                self.token(root);
            }
            false => self.name(),
        }
        self.address();
        for _ in 0..self.dice.below(3) {
            self.close(".");
            let field = self.dice.pick(&["rows", "name", "outcome"]);
            self.close(field);
        }
    }

    fn expression(&mut self) {
        self.depth += 1;
        for index in 0..1 + self.dice.below(3) {
            if index > 0 {
                let operator = self.dice.pick(&["&&", "||"]);
                self.token(operator);
            }
            for _ in 0..self.dice.below(5) / 3 {
                self.token("!");
            }
            if self.depth < 5 && self.dice.chance(4) {
                self.token("(");
                self.expression();
                self.close(")");
                continue;
            }
            self.operand();
            if self.dice.chance(2) {
                let operator = self.dice.pick(&["==", "!=", "<=", ">=", "<", ">", "in"]);
                self.token(operator);
                self.operand();
            }
        }
        self.depth -= 1;
    }

    fn operand(&mut self) {
        match self.dice.below(6) {
            0 => self.string(),
            1 => self.number(),
            2 => self.values(),
            3 => self.words(&["true"]),
            _ => self.reference(),
        }
    }

    fn body(&mut self) {
        self.token("{");
        for _ in 0..self.dice.below(6) {
            match self.dice.below(10) {
                0 => {
                    self.words(&["output"]);
                    self.param();
                }
                1 => {
                    self.words(&["mount"]);
                    self.name();
                    self.words(&["at"]);
                    self.string();
                }
                2 => {
                    self.words(&["use"]);
                    self.name();
                    self.maybe_map();
                }
                3 => {
                    let kind = self.dice.pick(&["pod", "job"]);
                    self.words(&[kind]);
                    self.block();
                }
                _ => self.attribute(),
            }
            self.comma(6);
        }
        self.token("}");
    }

    fn attribute(&mut self) {
        match self.dice.below(4) {
            0 => self.string(),
            _ => {
                let keys = [
                    "image",
                    "env",
                    "DB_URL",
                    "timeout",
                    "_x",
                    "fail-fast",
                    "pod",
                    "run",
                ];
                let key = self.dice.pick(&keys);
                self.token(key);
            }
        }
        if self.dice.chance(5) {
            return self.map();
        }
        self.token("=");
        self.value();
    }

    fn maybe_map(&mut self) {
        if self.dice.chance(2) {
            self.map();
        }
    }

    fn map(&mut self) {
        self.depth += 1;
        self.token("{");
        for _ in 0..self.dice.below(if self.depth > 4 { 1 } else { 4 }) {
            self.attribute();
            self.comma(3);
        }
        self.token("}");
        self.depth -= 1;
    }

    fn values(&mut self) {
        self.depth += 1;
        self.token("[");
        let count = self.dice.below(if self.depth > 4 { 1 } else { 6 });
        self.list(count, Self::value);
        if count > 0 {
            self.comma(3);
        }
        self.close("]");
        self.depth -= 1;
    }

    fn value(&mut self) {
        match self.dice.below(12) {
            0 => {
                let kind = self.dice.pick(&["secret", "config"]);
                self.words(&[kind]);
                self.close("(");
                self.string();
                self.close(",");
                self.string();
                self.comma(5);
                self.close(")");
            }
            1..5 => self.string(),
            5 => self.words(&["false"]),
            6 | 7 => self.number(),
            8 => self.values(),
            9 => self.map(),
            _ => self.reference(),
        }
    }
}
