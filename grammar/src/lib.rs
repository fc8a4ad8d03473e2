//! The konductor pipeline grammar.
//!
//! What enters: text. What leaves: pest's tokens, and the words that people use for each rule. What
//! must never happen here: meaning.
#![deny(clippy::string_slice)]
#![expect(
    missing_docs,
    reason = "pest derives one variant for each rule of konductor.pest"
)]

use pest_derive::Parser;

/// The parser that pest derives from `konductor.pest`.
#[derive(Parser)]
#[grammar = "konductor.pest"]
pub struct KonductorParser;

/// What people call a rule, for "expected …"; `None` for a rule that is no help there. The match is
/// exhaustive, so the name of a new rule can't leak into a message.
pub fn words(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::EOI
        | Rule::WHITESPACE
        | Rule::rest_of_line
        | Rule::ident_char
        | Rule::block
        | Rule::line
        | Rule::plain
        | Rule::inside
        | Rule::hole
        | Rule::inner
        | Rule::file
        | Rule::item
        | Rule::body_item
        | Rule::lone_ref
        | Rule::resource_kind
        | Rule::external_kind
        | Rule::call_kind
        | Rule::yaml_kind
        | Rule::unary
        | Rule::conjunction
        | Rule::comparison
        | Rule::not => return None,
        Rule::declaration | Rule::next_declaration | Rule::lone_declaration => {
            "`pipeline`, `template` or `import`"
        }
        Rule::next_items | Rule::lone_item => "`stage`, another declaration or an attribute",
        Rule::ident => "a name",
        Rule::number => "a number",
        Rule::string => "a string",
        Rule::import | Rule::kw_import => "`import`",
        Rule::template | Rule::kw_template => "`template`",
        Rule::pipeline | Rule::head | Rule::kw_pipeline => "`pipeline`",
        Rule::param | Rule::kw_param => "`param`",
        Rule::param_decl => "a parameter, as in `name: string`",
        Rule::schedule | Rule::kw_schedule => "`schedule`",
        Rule::resource => "a semaphore, lease or workspace",
        Rule::approval | Rule::kw_approval => "`approval`",
        Rule::defaults | Rule::kw_defaults => "`defaults`",
        Rule::stage | Rule::kw_stage => "`stage`",
        Rule::clause => "`for`, `after`, `when`, `holding`, `quorum`, `max` or `parallel`",
        Rule::fan_out | Rule::kw_for => "`for`",
        Rule::loop_ => "a loop, as in `region in regions`",
        Rule::range => "a range",
        Rule::range_op => "`..`",
        Rule::bound => "a number or a parameter",
        Rule::after | Rule::kw_after => "`after`",
        Rule::dependency | Rule::target => "a stage's name",
        Rule::any | Rule::kw_any => "`any(…)`",
        Rule::external => "`pipeline(…)`, `gate(…)` or `barrier(…)`",
        Rule::address => "an item in brackets",
        Rule::index => "a string, a number or a variable",
        Rule::every => "`*`",
        Rule::holding | Rule::kw_holding => "`holding`",
        Rule::hold => "the name of a semaphore or lease",
        Rule::quorum | Rule::kw_quorum => "`quorum`",
        Rule::max | Rule::kw_max => "`max`",
        Rule::parallel | Rule::kw_parallel => "`parallel`",
        Rule::when | Rule::kw_when => "`when`",
        Rule::expression | Rule::operand => "a condition",
        Rule::operator => "a comparison",
        Rule::reference => "a name",
        Rule::body | Rule::open => "`{`",
        Rule::close => "`}`",
        Rule::output | Rule::kw_output => "`output`",
        Rule::mount | Rule::kw_mount => "`mount`",
        Rule::use_ | Rule::kw_use => "`use`",
        Rule::yaml => "`pod` or `job`",
        Rule::attribute => "an attribute, as in `image = \"…\"`",
        Rule::map => "`{`",
        Rule::value => "a value",
        Rule::list => "a list",
        Rule::call => "`secret(…)` or `config(…)`",
        Rule::type_ | Rule::scalar | Rule::choice | Rule::record | Rule::list_type => "a type",
        Rule::kw_at => "`at`",
        Rule::kw_barrier => "`barrier(…)`",
        Rule::kw_config => "`config(…)`",
        Rule::kw_finally => "`finally`",
        Rule::kw_gate => "`gate(…)`",
        Rule::kw_in => "`in`",
        Rule::kw_job => "`job`",
        Rule::kw_lease => "`lease`",
        Rule::kw_list => "`list<…>`",
        Rule::kw_pod => "`pod`",
        Rule::kw_secret => "`secret(…)`",
        Rule::kw_semaphore => "`semaphore`",
        Rule::kw_within => "`within`",
        Rule::kw_workspace => "`workspace`",
    })
}
