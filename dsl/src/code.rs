//! The registry of diagnostics: one code, one title, one page.

macro_rules! codes {
    ($($code:ident $title:literal,)*) => {
        /// The code of a diagnostic, such as `K0101`.
        ///
        /// K01 syntax and text, K02 names, K03 types and values, K04 dependencies, K05 limits and
        /// Kubernetes, K06 style.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        /// Every code, in order.
        pub const CODES: &[Code] = &[$(Code::$code,)*];

        impl Code {
            /// The code as it is written.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)*
                }
            }

            /// The phase that reports it: 1 reads the text, 2 resolves names, 3 checks values, 4 the graph, 5 what is
            /// around the file, 6 what has no effect. What a phase reports may be the fault of an earlier phase.
            pub fn phase(self) -> usize {
                let digits = self.name().get(1..3).unwrap_or_default();
                digits.parse().unwrap_or(usize::MAX)
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$code => $title,)*
                }
            }

            /// Its page: what, why, an example, and what to write instead, in Markdown.
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$code => {
                        include_str!(concat!("../codes/", stringify!($code), ".md"))
                    })*
                }
            }
        }
    };
}

codes! {
    K0101 "the text does not follow the grammar",
    K0102 "a string is not closed",
    K0103 "brackets are nested too deeply",
    K0104 "a name is not written as names are",
    K0105 "an escape means nothing",
    K0106 "an interpolation can't be read",
    K0107 "a file is too large",
    K0108 "a reserved word is used as a name",
    K0109 "a bracket is not closed",
    K0110 "a character that looks like another",
    K0201 "a name that nothing of this kind has",
    K0202 "a name that is declared twice",
    K0203 "an attribute that does not exist here",
    K0204 "an attribute that is given twice",
    K0205 "a header clause that is given twice",
    K0206 "a field that does not exist",
    K0207 "an output that its stage does not declare",
    K0208 "a value for a parameter that does not exist",
    K0209 "a parameter that has no value",
    K0210 "a file without a pipeline, or with two",
    K0211 "a header clause where it means nothing",
    K0212 "an import that can't be read",
    K0213 "files that import each other",
    K0214 "a template that uses itself",
    K0215 "a template's parameter that is not given",
    K0301 "a value of the wrong type",
    K0302 "a value outside what its type allows",
    K0303 "a given value that its parameter does not take",
    K0304 "a type that does not exist or is not allowed here",
    K0305 "a value known only at run time, where it is needed at compile time",
    K0306 "a value that does not exist at this place",
    K0307 "two values that can't be compared like this",
    K0308 "an interpolation that the shell does not expand, or splits",
    K0309 "an interpolation that the shell splits",
    K0310 "a `${…}` of the shell where there is no shell",
    K0311 "an attribute that must be given",
    K0312 "a body with both `run` and `exec`",
    K0313 "an output that may be missing and has no default",
    K0314 "a name that Kubernetes does not take",
    K0315 "an amount of CPU, memory or storage that can't have been meant",
    K0316 "a secret written in plain text",
    K0317 "an image without a fixed version",
    K0318 "an external resource with settings of its own",
    K0319 "a path where no workspace can be mounted",
    K0320 "two mounts at one path",
    K0321 "files without a store, or a store that can't be used",
    K0330 "a value that an interpreter would execute as code",
    K0331 "a value in a script of a language that is not the shell's",
    K0332 "an interpreter that can't be given a script",
    K0333 "an interpolation in a key of YAML",
    K0334 "a text that Kubernetes does not take here",
    K0335 "words of a shell where there is no shell",
    K0336 "a quote that a script does not close",
    K0401 "stages that wait for each other",
    K0402 "a stage that waits for itself",
    K0403 "a stage that waits for a finally stage",
    K0404 "an item that its stage does not have",
    K0405 "an item address of the wrong shape",
    K0406 "more permits than there will ever be",
    K0407 "a quorum that can't be reached",
    K0408 "a fan-out over nothing",
    K0409 "a fan-out with one item twice",
    K0410 "a semaphore or lease that is held twice",
    K0412 "a timeout above one that ends it",
    K0413 "a lease that several pods would hold at once",
    K0414 "dependencies that never hold together",
    K0415 "a dependency that is listed twice",
    K0416 "a condition that is never true",
    K0417 "a workspace for one that several stages mount at once",
    K0418 "more semaphores and leases than one stage can hold",
    K0419 "a fan-out over a list known only at run time, where its items are needed at compile time",
    K0501 "a fan-out or a run that is too large",
    K0502 "a name that is too long for Kubernetes",
    K0504 "a text that can't name an object in the cluster",
    K0505 "a stage that is too large for one object",
    K0506 "YAML that can't be read",
    K0507 "a field that Kubernetes does not have",
    K0508 "a value that a field of Kubernetes does not take",
    K0509 "a field that konductor sets itself",
    K0510 "a schedule that can't be installed",
    K0511 "a schedule that never fires",
    K0601 "something that nothing uses",
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        CODES
            .iter()
            .copied()
            .find(|code| code.name().eq_ignore_ascii_case(text))
            .ok_or(())
    }
}
