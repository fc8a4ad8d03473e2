//! Usual slips: what hands write that are used to YAML, HCL, a shell or another language, and what
//! to type instead.
//!
//! What enters: where reading stopped. What leaves: what to do, and sometimes a better place or
//! message than the grammar has. What must never happen here: a refusal; something was refused.

pub(super) mod condition;
mod declaration;
mod file;
mod header;
mod text;
mod types;
mod value;
mod word;

use std::ops::Range;

use konductor_grammar::Rule;

use super::place::Place;
use super::{CLAUSE_WORDS, ITEM_WORDS, NAMED_WORDS};
use crate::did_you_mean;

/// The words that begin something in a body that is no attribute.
const BODY_WORDS: [&str; 3] = ["mount", "output", "use"];

/// What was meant.
pub(super) struct Habit {
    /// Where the slip is, if not at the token where reading stopped.
    pub(super) written: Option<Range<usize>>,
    /// What to say, if not what was expected.
    pub(super) message: Option<String>,
    /// What to type.
    pub(super) help: String,
    /// The text that replaces what is at a place, if that is certain.
    pub(super) fix: Option<(Range<usize>, String)>,
}

impl Habit {
    fn help(help: impl Into<String>) -> Option<Self> {
        Some(Self {
            written: None,
            message: None,
            help: help.into(),
            fix: None,
        })
    }

    fn at(
        written: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<Self> {
        Some(Self {
            written: Some(written),
            message: Some(message.into()),
            help: help.into(),
            fix: None,
        })
    }

    /// What was meant, with the text that is to stand at a place.
    fn replace(at: Range<usize>, text: impl Into<String>, help: impl Into<String>) -> Option<Self> {
        Self::help(help)?.writing(at, text)
    }

    /// Adds the text that is to stand at a place.
    fn writing(self, at: Range<usize>, text: impl Into<String>) -> Option<Self> {
        Some(Self {
            fix: Some((at, text.into())),
            ..self
        })
    }
}

/// The first habit of the table that this is.
pub(super) fn find(place: &Place<'_>) -> Option<Habit> {
    const HABITS: [fn(&Place<'_>) -> Option<Habit>; 88] = [
        text::end_of_file,
        declaration::no_brace,
        declaration::name_of_other_letters,
        word::template_of_text,
        word::word_in_upper_case,
        word::resource_without_braces,
        word::time_zone_of_a_schedule,
        declaration::name_with_a_dash,
        declaration::template_with_a_path,
        types::bounds_in_brackets,
        value::number_of_another_language,
        file::yaml,
        file::template_without_parentheses,
        file::import,
        file::import_of_a_name,
        file::template_in_a_pipeline,
        file::document,
        word::group_of_stages,
        word::word_of_the_pipeline_in_a_body,
        word::declaration_of_another_language,
        word::attribute_in_a_header,
        condition::end_of_a_stage,
        header::brackets_of_a_shell,
        header::count_before_the_name,
        header::anchor,
        header::quorum_of_all,
        condition::comparison,
        declaration::other_equals_sign,
        declaration::flag,
        declaration::map_with_a_name,
        declaration::key_with_a_path,
        word::who_approves,
        header::clause_with_a_sign,
        header::item_of_another_shape,
        header::bracket_of_nothing,
        word::clause_of_another_shape,
        types::type_of_another_language,
        types::range_without_dots,
        types::type_before_the_name,
        value::list_without_commas,
        value::pieces_of_a_value,
        text::prefix_of_a_string,
        text::words_without_quotes,
        text::joined_commands,
        value::unit_after_a_blank,
        value::block_of_another_language,
        value::back_quotes,
        value::range_of_another_language,
        value::type_in_brackets,
        declaration::word_behind_a_type,
        value::secret_of_one_text,
        header::mount_without_at,
        header::loop_of_another_language,
        header::sign_behind_a_name,
        text::quote_in_a_string,
        word::attribute_without_a_sign,
        text::single_quotes,
        text::other_comment,
        text::reference_outside_of_a_string,
        text::string_without_quotes,
        condition::arithmetic,
        condition::function,
        text::no_value,
        declaration::colon,
        declaration::equals_sign,
        condition::condition_as_a_value,
        declaration::no_attribute,
        file::outside_of_a_pipeline,
        file::behind_a_template,
        header::clause_outside_of_a_header,
        declaration::name_in_quotes,
        declaration::name_with_a_digit,
        declaration::no_name,
        declaration::no_type,
        declaration::use_with_parentheses,
        declaration::import_with_a_name,
        header::other_range,
        header::loop_without_brackets,
        header::after_nothing_or_a_list,
        header::body_without_a_brace,
        header::clause_of_another_language,
        header::names_without_a_comma,
        header::not_in_a_word,
        header::sign_of_another_language,
        misspelt,
        declaration::name_of_two_words,
        declaration::word_without_a_value,
        declaration::value_without_a_key,
    ];
    HABITS.iter().find_map(|habit| habit(place))
}

/// `stag a`, `stage b aftr a`
fn misspelt(place: &Place<'_>) -> Option<Habit> {
    let near = |word: &str, words: &[&'static str]| {
        did_you_mean(word, words.iter().copied()).filter(|near| *near != word)
    };
    let is_in_a_body = place.wants(Rule::open) && !place.wants_clause();
    let item = place.before.last().and_then(|token| {
        let word = token.text(place.text);
        let of_body = || near(word, &BODY_WORDS).filter(|_| is_in_a_body);
        let meant = near(word, &ITEM_WORDS).or_else(of_body)?;
        Some((token.start..token.end, meant))
    });
    let clause = || Some((place.here(), near(place.token, &CLAUSE_WORDS)?));
    let (at, meant) = item.or_else(clause)?;
    Habit::replace(at, meant, format!("did you mean `{meant}`?"))
}
