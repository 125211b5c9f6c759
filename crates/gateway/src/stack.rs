//! The calls that are under way in each conversation, as the gateway saw them begin and end, and the rules
//! on which may call which.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use identity::Verified;
use trust::Frame;

use crate::{Gateway, call::Call, flow::conversation, refusal::Refusal, resolve::Target};

type Key = (Box<str>, Box<str>);
type UnderWay = Arc<Mutex<HashMap<Key, Vec<(u64, Frame)>>>>;

/// What is under way.
#[derive(Default)]
pub(crate) struct Stacks {
    under_way: UnderWay,
}

/// A call's place on the stack, given back when dropped.
pub(crate) struct Place {
    under_way: UnderWay,
    key: Key,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = all.get_mut(&self.key) {
            stack.retain(|(number, _)| *number != self.number);
            if stack.is_empty() {
                all.remove(&self.key);
            }
        }
    }
}

impl Gateway {
    /// Takes a call's place above those that are under way in its conversation; `None` where no rule wants to
    /// know. The number of calls under way is bounded already, for each principal.
    pub(crate) fn stack(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
    ) -> Result<Option<Place>, Refusal> {
        let current = self.glance();
        let Some(rules) = &current.config.call_stack else { return Ok(None) };
        if target.kind != policy::Kind::Tool {
            return Ok(None);
        }
        let name = format!("{}/{}", target.served.name(), target.name);
        let constraints = target.item().and_then(|item| item.constraints.clone());
        let callee = Frame { name, constraints };
        let conversation = conversation(call, current.config.flow.conversations);
        let key = (caller.principal().partition().into(), conversation.into());
        let under_way = self.stacks.under_way.clone();
        let number = self.next_number();
        let mut all = self.stacks.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = all.entry(Key::clone(&key)).or_default();
        let frames: Vec<Frame> = stack.iter().map(|(_, frame)| frame.clone()).collect();
        if let Err(fault) = trust::may_call(rules, &frames, &callee) {
            if stack.is_empty() {
                all.remove(&key);
            }
            return Err(Refusal::CallStack(fault.to_string()));
        }
        stack.push((number, callee));
        drop(all);
        Ok(Some(Place { under_way, key, number }))
    }
}
