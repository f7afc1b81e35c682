//! Validates the text after a change, and says what is wrong in the words of the request: by key,
//! not by lines of a text that nobody has seen.

use super::super::diagnostic::Findings;
use super::super::model::VirtualRouter;
use super::super::tree::{Entry, Node, Value};
use super::super::{
    Diagnostic, Errors, Format, LARGEST_FILE, Loaded, address, model, router, tree,
};
use super::{EditError, Problem, TEXT, keys};

/// What `text` says. `names` are the virtual routers of it as messages name them; `subject` is the
/// place of the one that the request is about, which may have no name yet.
///
/// # Errors
/// [`EditError::Conflict`] when the subject collides with another virtual router,
/// [`EditError::Invalid`] with everything else that is wrong.
pub(super) fn judge(
    text: &str,
    format: Format,
    names: &[String],
    subject: Option<usize>,
) -> Result<Loaded, EditError> {
    if text.len() > LARGEST_FILE {
        let message =
            format!("the configuration would be too large, allowed: at most {LARGEST_FILE} bytes");
        return Err(EditError::Invalid(vec![keys::problem("", message)]));
    }
    let errors = match super::super::parse(text, TEXT, format) {
        Ok(loaded) => return Ok(loaded),
        Err(errors) => errors,
    };
    let mut places = names.to_vec();
    for (at, place) in places.iter_mut().enumerate() {
        *place = if Some(at) == subject {
            "this virtual router".to_owned()
        } else {
            format!("virtual router {place}")
        };
    }
    if subject == Some(places.len()) {
        places.push("this virtual router".to_owned());
    }
    let mut findings = Findings::of_places(places);
    let Some(mut root) = tree(text, format, &mut findings) else {
        return Err(EditError::Invalid(untranslated(&errors)));
    };
    let routers = number(&mut root, subject);
    if let (Some(at), Some(routers)) = (subject, routers)
        && let Some(conflict) = conflict(routers, at, names)
    {
        return Err(EditError::Conflict(conflict));
    }
    let config = model(&root, &mut findings);
    match findings.judge(config) {
        Err(errors) => Err(EditError::Invalid(
            errors
                .errors
                .into_iter()
                .map(|error| translated(error, names, subject))
                .collect(),
        )),
        Ok(_) => Err(EditError::Invalid(untranslated(&errors))),
    }
}

/// Puts the number of a virtual router, from 1, where the lines of its table were, and 0 elsewhere;
/// moves the subject behind the others, so that what is said about two of them is said about it.
fn number<'r, 't>(root: &'r mut Node<'t>, subject: Option<usize>) -> Option<&'r [Node<'t>]> {
    renumber(root, 0);
    let Value::Table(entries) = &mut root.value else {
        return None;
    };
    let routers = entries.iter_mut().find(|entry| entry.key == "vrouter")?;
    let Value::Array(routers) = &mut routers.node.value else {
        return None;
    };
    for (router, number) in routers.iter_mut().zip(1..) {
        renumber(router, number);
    }
    if let Some(at) = subject.filter(|at| *at < routers.len()) {
        let subject = routers.remove(at);
        routers.push(subject);
    }
    Some(routers)
}

fn renumber(node: &mut Node<'_>, line: u32) {
    node.line = line;
    match &mut node.value {
        Value::Array(elements) => {
            for element in elements {
                renumber(element, line);
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                entry.line = line;
                renumber(&mut entry.node, line);
            }
        }
        _ => {}
    }
}

/// What the subject, the last of `routers`, has in common with another one and must not.
fn conflict(routers: &[Node<'_>], subject: usize, names: &[String]) -> Option<Problem> {
    let (last, others) = routers.split_last()?;
    let ours = draft(last)?;
    for (at, other) in others.iter().enumerate() {
        let Some(router) = draft(other) else {
            continue;
        };
        let name = names.get(if at < subject { at } else { at + 1 })?;
        let shared_vip = ours
            .vips
            .iter()
            .find(|vip| router.vips.iter().any(|other| other.address == vip.address));
        let (key, message) = if router.key() == ours.key() {
            let family = address::family_name(ours.family);
            let what = format!("group {} of {} ({family})", ours.vrid, ours.site());
            let allowed = "allowed: once for each interface and family";
            (
                "group",
                format!("{what} is virtual router {name} already, {allowed}"),
            )
        } else if router.name == ours.name {
            let message = format!("{} is taken, allowed: a unique one", ours.name);
            ("name", message)
        } else if !ours.vifname.is_empty()
            && router.vifname == ours.vifname
            && router.netns == ours.netns
        {
            let message = format!("{} is that of virtual router {name}", ours.vifname);
            ("vifname", format!("{message}, allowed: a unique one"))
        } else if let Some(vip) = shared_vip.filter(|_| router.site() == ours.site()) {
            let what = format!("{} of {}", vip.address, ours.site());
            let message = format!("{what} is one of virtual router {name} already");
            ("vip", format!("{message}, allowed: once on an interface"))
        } else {
            continue;
        };
        return Some(keys::problem(key, message));
    }
    None
}

/// A virtual router by itself, as far as it is right.
fn draft(node: &Node<'_>) -> Option<VirtualRouter> {
    let Value::Table(entries) = &node.value else {
        return None;
    };
    let entries: &[Entry<'_>] = entries;
    router::draft(node.line, entries, &mut Findings::new("")).map(|draft| draft.router)
}

fn translated(error: Diagnostic, names: &[String], subject: Option<usize>) -> Problem {
    let at = usize::try_from(error.line)
        .ok()
        .and_then(|line| line.checked_sub(1));
    let router = match at {
        Some(at) if Some(at) != subject => names.get(at).cloned(),
        _ => None,
    };
    Problem {
        router,
        key: error.key,
        message: error.message,
    }
}

/// What cannot be said in the words of the request.
fn untranslated(errors: &Errors) -> Vec<Problem> {
    let errors = errors.errors.iter();
    errors
        .map(|error| keys::problem(&error.key, error.message.as_str()))
        .collect()
}
