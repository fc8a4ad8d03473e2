//! Signature help: the parameters of a template in `use`, and of calls.

use gen_lsp_types::{
    ActiveParameter, ParameterInformation, ParameterInformationLabel, Position, SignatureHelp,
    SignatureInformation,
};

use crate::analysis::Analysis;
use crate::answer::completion::context::{Block, Context, context};
use crate::names::{Kind, Symbol};

/// The signature of what is being written at a position.
pub(crate) fn at(analysis: &Analysis, position: Position) -> Option<SignatureHelp> {
    let offset = analysis.offset(position) as usize;
    let context = context(analysis.text(), offset);
    if let Some(call) = context.call {
        return Some(of_call(call, context.argument));
    }
    let Block::Use(name) = &context.block else {
        return None;
    };
    let mut templates = analysis.names.of_kind(Kind::Template);
    let (template, _) = templates.find(|(_, symbol)| symbol.name == *name)?;
    let all = analysis.names.of_kind(Kind::Argument);
    let own = all.filter(|(_, symbol)| symbol.owner == Some(template));
    let own: Vec<&Symbol> = own.map(|(_, symbol)| symbol).collect();
    let written = |symbol: &&Symbol| {
        let source = analysis.source(symbol.whole.source);
        source.map_or(String::new(), |source| {
            source.slice(symbol.whole).to_owned()
        })
    };
    let parameters: Vec<String> = own.iter().map(written).collect();
    Some(help(name, &parameters, active(&own, &context)))
}

/// Which parameter is being given.
fn active(own: &[&Symbol], context: &Context) -> Option<u32> {
    let key = context.key.as_deref()?;
    let at = own.iter().position(|symbol| symbol.name == key)?;
    u32::try_from(at).ok()
}

fn of_call(call: &str, argument: usize) -> SignatureHelp {
    let parameters: &[&str] = match call {
        "any" => &["DEP", "…"],
        "pipeline" | "gate" | "barrier" => &["\"[NAMESPACE/]NAME\""],
        _ => &["\"NAME\"", "\"KEY\""],
    };
    let last = parameters.len() - 1;
    let parameters: Vec<String> = parameters
        .iter()
        .map(|parameter| (*parameter).to_owned())
        .collect();
    let active = u32::try_from(argument.min(last)).ok();
    help(call, &parameters, active)
}

fn help(name: &str, parameters: &[String], active: Option<u32>) -> SignatureHelp {
    let parameter = |text: &String| ParameterInformation {
        label: ParameterInformationLabel::String(text.clone()),
        documentation: None,
    };
    SignatureHelp {
        signatures: vec![SignatureInformation {
            label: format!("{name}({})", parameters.join(", ")),
            documentation: None,
            parameters: Some(parameters.iter().map(parameter).collect()),
            active_parameter: None,
        }],
        active_signature: Some(0),
        active_parameter: active.map(ActiveParameter::Int),
    }
}
