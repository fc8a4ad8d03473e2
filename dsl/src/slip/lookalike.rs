//! Characters that look like one of the language's and are none, as keyboards, word processors and
//! web pages put them in.

use std::ops::Range;

/// A character, what it is called, and what was meant.
const LOOKALIKES: [(char, &str, &str); 53] = [
    ('\u{85}', "next line", " "),
    ('\u{a0}', "no-break space", " "),
    ('\u{ad}', "soft hyphen", ""),
    ('\u{1680}', "Ogham space mark", " "),
    ('\u{2000}', "en quad", " "),
    ('\u{2001}', "em quad", " "),
    ('\u{2002}', "en space", " "),
    ('\u{2003}', "em space", " "),
    ('\u{2004}', "three-per-em space", " "),
    ('\u{2005}', "four-per-em space", " "),
    ('\u{2006}', "six-per-em space", " "),
    ('\u{2007}', "figure space", " "),
    ('\u{2008}', "punctuation space", " "),
    ('\u{2009}', "thin space", " "),
    ('\u{200a}', "hair space", " "),
    ('\u{200b}', "zero width space", ""),
    ('\u{200c}', "zero width non-joiner", ""),
    ('\u{200d}', "zero width joiner", ""),
    ('\u{200e}', "left-to-right mark", ""),
    ('\u{200f}', "right-to-left mark", ""),
    ('\u{2010}', "hyphen", "-"),
    ('\u{2011}', "non-breaking hyphen", "-"),
    ('\u{2012}', "figure dash", "-"),
    ('\u{2013}', "en dash", "-"),
    ('\u{2014}', "em dash", "-"),
    ('\u{2018}', "left single quotation mark", "\""),
    ('\u{2019}', "right single quotation mark", "\""),
    ('\u{201c}', "left double quotation mark", "\""),
    ('\u{201d}', "right double quotation mark", "\""),
    ('\u{201e}', "double low-9 quotation mark", "\""),
    ('\u{ab}', "left-pointing double angle quotation mark", "\""),
    ('\u{bb}', "right-pointing double angle quotation mark", "\""),
    ('\u{2026}', "horizontal ellipsis", ".."),
    ('\u{2028}', "line separator", " "),
    ('\u{2029}', "paragraph separator", " "),
    ('\u{202f}', "narrow no-break space", " "),
    ('\u{205f}', "medium mathematical space", " "),
    ('\u{2060}', "word joiner", ""),
    ('\u{2212}', "minus sign", "-"),
    ('\u{3000}', "ideographic space", " "),
    ('\u{ff1d}', "fullwidth equals sign", "="),
    ('\u{ff0c}', "fullwidth comma", ","),
    ('\u{ff02}', "fullwidth quotation mark", "\""),
    ('\u{ff08}', "fullwidth left parenthesis", "("),
    ('\u{ff09}', "fullwidth right parenthesis", ")"),
    ('\u{ff0e}', "fullwidth full stop", "."),
    ('\u{ff1a}', "fullwidth colon", ":"),
    ('\u{ff1c}', "fullwidth less-than sign", "<"),
    ('\u{ff1e}', "fullwidth greater-than sign", ">"),
    ('\u{ff3b}', "fullwidth left square bracket", "["),
    ('\u{ff3d}', "fullwidth right square bracket", "]"),
    ('\u{ff5b}', "fullwidth left curly bracket", "{"),
    ('\u{ff5d}', "fullwidth right curly bracket", "}"),
];

/// Returns where a string ends that begins with a character like a quote: at the next of them on its line, or at a
/// quote. `None` if there is no end, or if it has what is read otherwise between quotes.
pub(super) fn end_of_string(rest: &str) -> Option<Range<usize>> {
    let is_quote = |c: char| {
        c == '"'
            || LOOKALIKES
                .iter()
                .any(|(sign, _, meant)| *sign == c && *meant == "\"")
    };
    let line = rest.split('\n').next()?;
    let (start, quote) = line.char_indices().find(|(_, c)| is_quote(*c))?;
    let is_plain = !line.get(..start)?.contains('\\');
    is_plain.then(|| start..start + quote.len_utf8())
}

/// What to say about a character, what to type, and what was meant, where it looks like another.
pub(super) fn of(c: char) -> Option<(String, String, &'static str)> {
    let (_, name, meant) = LOOKALIKES.iter().find(|(sign, ..)| *sign == c)?;
    let number = u32::from(c);
    Some(match *meant {
        "" => (
            format!("an invisible character stands here: U+{number:04X} ({name})"),
            "remove it".to_owned(),
            "",
        ),
        " " => (
            format!("U+{number:04X} ({name}) looks like a space and is not one"),
            "write a space instead".to_owned(),
            " ",
        ),
        meant => (
            format!("`{c}` (U+{number:04X}, {name}) looks like `{meant}` and is not"),
            format!("write `{meant}` instead"),
            meant,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_looks_like_another_is_known_to_the_fuzzer() {
        let dictionary = include_str!("../../../fuzz/konductor.dict");
        for (sign, name, _) in LOOKALIKES {
            let mut bytes = [0; 4];
            let bytes = sign.encode_utf8(&mut bytes).bytes();
            let entry: String = bytes.map(|byte| format!("\\x{byte:02x}")).collect();
            let entry = format!("\"{entry}\"");
            let mut lines = dictionary.lines();
            assert!(lines.any(|line| line == entry), "{name}: {entry}");
        }
    }
}
