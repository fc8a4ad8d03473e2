//! A graph as a picture.

use std::fmt::Write as _;

use konductor_compiler::graph::{Node, NodeKind};

use super::layout::{Layout, Place, Size, layout};
use super::{Drawn, colors, details, title};
use crate::output;
use crate::output::width::{cut, width};

/// Around everything.
const MARGIN: f64 = 24.0;
/// What a character of a fixed width is wide, at 12 pixels.
const CHARACTER: f64 = 7.3;
/// The same in the legend, at 10 pixels.
const LEGEND_CHARACTER: f64 = 6.1;
/// The height of a line of text.
const LINE: f64 = 16.0;
/// Left and right of a text.
const PADDING: f64 = 12.0;
/// A picture up to this width is still read where a page makes it as narrow as itself.
const SHRUNK_MAX: f64 = 1700.0;
/// What is longer is cut; the whole name is shown where the pointer rests.
const TITLE_CHARACTERS_MAX: usize = 48;

/// Where the page of a node is, if it has one.
type Link<'a> = &'a dyn Fn(&Node) -> Option<String>;

/// Draws a graph as a document of its own, with no script and no font but the viewer's.
pub(crate) fn svg(drawn: &Drawn) -> String {
    picture(drawn, None)
}

/// Draws the same for a page that has colours for its classes, with links to the pages of nodes.
pub(crate) fn section(drawn: &Drawn, link: Link<'_>) -> String {
    picture(drawn, Some(link))
}

fn picture(drawn: &Drawn, link: Option<Link<'_>>) -> String {
    let graph = &drawn.graph;
    let texts: Vec<Vec<Line>> = (0..graph.nodes.len())
        .map(|index| lines(drawn, index))
        .collect();
    let sizes: Vec<Size> = texts
        .iter()
        .zip(&graph.nodes)
        .map(|(lines, node)| {
            let longest = lines.iter().map(|line| width(&line.text)).max();
            Size {
                width: longest.unwrap_or(0) as f64 * CHARACTER + 2.0 * PADDING,
                height: lines.len() as f64 * LINE + 10.0,
                last: node.kind == NodeKind::Finally,
            }
        })
        .collect();
    let edges: Vec<(usize, usize)> = graph
        .edges
        .iter()
        .map(|edge| (edge.from, edge.to))
        .collect();
    let placed = layout(&sizes, &edges);
    let legend = legend(drawn);
    let longest = legend.iter().map(|line| width(line)).max().unwrap_or(0);
    let (width, height) = (
        placed.width.max(longest as f64 * LEGEND_CHARACTER) + 2.0 * MARGIN,
        placed.height + 2.0 * MARGIN + legend.len() as f64 * LINE,
    );
    let class = match link.is_some() && width <= SHRUNK_MAX {
        true => " class=\"fits\"",
        false => "",
    };
    let mut text = format!(
        "<svg{class} xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"12\">\n"
    );
    if link.is_none() {
        let _ = write!(
            text,
            "<title>{}</title>\n\
             <style>@media (prefers-color-scheme: dark) {{ svg {{ filter: invert(1) hue-rotate(180deg) }} \
             }}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            escaped(&graph.pipeline)
        );
    }
    draw_lines(drawn, &placed, &mut text);
    for (index, lines) in texts.iter().enumerate() {
        let target = link.and_then(|link| link(&graph.nodes[index]));
        if let Some(target) = &target {
            // The list of stages has the same links, one after the other for the keyboard.
            let _ = write!(text, "<a href=\"{}\" tabindex=\"-1\">", escaped(target));
        }
        draw_box(
            drawn,
            index,
            lines,
            placed.boxes[index],
            sizes[index],
            &mut text,
        );
        if target.is_some() {
            text.push_str("</a>\n");
        }
    }
    for (at, line) in legend.iter().enumerate() {
        let y = placed.height + 2.0 * MARGIN + LINE * at as f64;
        let _ = writeln!(
            text,
            "<text class=\"legend\" x=\"{MARGIN:.1}\" y=\"{y:.1}\" fill=\"#57606a\" font-size=\"10\">{}</text>",
            escaped(line)
        );
    }
    text.push_str("</svg>\n");
    text
}

/// What the signs mean that are in the picture, and when the pipeline runs by itself.
fn legend(drawn: &Drawn) -> Vec<String> {
    let graph = &drawn.graph;
    let has = |kind: NodeKind| graph.nodes.iter().any(|node| node.kind == kind);
    let label = |word: &str| {
        let mut labels = graph.edges.iter().map(|edge| edge.label.split(' '));
        labels.any(|mut words| words.any(|other| other == word))
    };
    let signs = [
        (has(NodeKind::Approval), "round: an approval"),
        (has(NodeKind::Finally), "dashed: runs in any case, last"),
        (has(NodeKind::External), "dotted: outside of the pipeline"),
        (
            graph.nodes.iter().any(|node| node.items.is_some()),
            "[n]: n items",
        ),
        (
            graph.nodes.iter().any(|node| node.quorum.is_some()),
            "quorum q: what waits for it starts after q successes",
        ),
        (
            graph.nodes.iter().any(|node| !node.holding.is_empty()),
            "holds: of a semaphore or lease, while it runs",
        ),
        (label("any"), "any: one of these is enough"),
        (
            label("failed") || label("skipped") || label("finished"),
            "failed, skipped, finished: the end that is waited for",
        ),
    ];
    let signs = signs.into_iter().filter(|(is_there, _)| *is_there);
    let schedule = graph.schedule.iter();
    let schedule = schedule.map(|schedule| format!("schedule: {schedule}"));
    schedule
        .chain(signs.map(|(_, meaning)| meaning.to_owned()))
        .collect()
}

/// A line in a box.
struct Line {
    /// What it is: the name, the state or what is held.
    class: &'static str,
    text: String,
}

fn lines(drawn: &Drawn, index: usize) -> Vec<Line> {
    let line = |class, text| Line { class, text };
    let first = cut(&title(&drawn.graph.nodes[index]), TITLE_CHARACTERS_MAX);
    let details = details(&drawn.graph.nodes[index]);
    let details = details.map(|text| line("holds", cut(&text, TITLE_CHARACTERS_MAX)));
    let state = drawn
        .state(index)
        .map(|state| match drawn.durations[index] {
            Some(length) => format!("{state} {}", output::duration(Some(length))),
            None => state,
        });
    let state = state.map(|state| line("state", state));
    std::iter::once(line("name", first))
        .chain(state)
        .chain(details)
        .collect()
}

/// Lines come first: boxes and their texts lie above them.
fn draw_lines(drawn: &Drawn, placed: &Layout, text: &mut String) {
    text.push_str("<g class=\"edges\" fill=\"none\" stroke=\"#8c959f\" stroke-width=\"1.2\">\n");
    for points in &placed.lines {
        let mut points = points
            .iter()
            .map(|point| (point.x + MARGIN, point.y + MARGIN));
        let Some((x, y)) = points.next() else {
            continue;
        };
        let mut path = format!("M{x:.1},{y:.1}");
        let (mut from, mut crosses_gap) = ((x, y), true);
        for to in points {
            if crosses_gap {
                let half = (from.0 + to.0) / 2.0;
                let _ = write!(
                    path,
                    " C{half:.1},{:.1} {half:.1},{:.1} {:.1},{:.1}",
                    from.1, to.1, to.0, to.1
                );
            } else {
                let _ = write!(path, " H{:.1}", to.0);
            }
            (from, crosses_gap) = (to, !crosses_gap);
        }
        let (x, y) = from;
        let _ = writeln!(
            text,
            "<path d=\"{path}\"/><path class=\"tip\" d=\"M{:.1},{:.1} L{x:.1},{y:.1} L{:.1},{:.1} Z\" \
             fill=\"#8c959f\"/>",
            x - 7.0,
            y - 3.5,
            x - 7.0,
            y + 3.5
        );
    }
    text.push_str(
        "</g>\n<g class=\"labels\" fill=\"#57606a\" font-size=\"10\" text-anchor=\"end\">\n",
    );
    let mut used: Vec<Place> = Vec::new();
    for (edge, points) in drawn.graph.edges.iter().zip(&placed.lines) {
        let Some(end) = points.last().filter(|_| !edge.label.is_empty()) else {
            continue;
        };
        // Several at one box stand above each other.
        let same = used.iter().filter(|place| **place == *end).count();
        used.push(*end);
        let (x, y) = (
            end.x + MARGIN - 9.0,
            end.y + MARGIN - 5.0 - 11.0 * same as f64,
        );
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" stroke=\"#ffffff\" stroke-width=\"3\" \
             paint-order=\"stroke\">{}</text>",
            edge.label
        );
    }
    text.push_str("</g>\n");
}

fn draw_box(
    drawn: &Drawn,
    index: usize,
    lines: &[Line],
    place: Place,
    size: Size,
    text: &mut String,
) {
    let node = &drawn.graph.nodes[index];
    let (face, edge) = colors(drawn.states[index].map(|(state, _)| state));
    let (x, y) = (place.x + MARGIN, place.y + MARGIN);
    let (round, dashes) = match node.kind {
        NodeKind::Stage => (5.0, ""),
        NodeKind::Finally => (5.0, " stroke-dasharray=\"6 3\""),
        NodeKind::Approval => (size.height / 2.0, ""),
        NodeKind::External => (size.height / 2.0, " stroke-dasharray=\"2 3\""),
    };
    let class = drawn.states[index].map_or("", |(state, _)| state.word());
    let whole = match node.holding.is_empty() {
        true => title(node),
        false => format!("{}, holding {}", title(node), node.holding.join(", ")),
    };
    let _ = writeln!(
        text,
        "<g class=\"node {class}\"><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
         rx=\"{round:.1}\" fill=\"{face}\" stroke=\"{edge}\" stroke-width=\"1.4\"{dashes}/>",
        escaped(&whole),
        size.width,
        size.height
    );
    for (at, line) in lines.iter().enumerate() {
        let color = if at == 0 { "#1f2328" } else { edge };
        let _ = writeln!(
            text,
            "<text class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\">{}</text>",
            line.class,
            x + PADDING,
            y + 5.0 + 12.0 + LINE * at as f64,
            escaped(&line.text)
        );
    }
    text.push_str("</g>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
