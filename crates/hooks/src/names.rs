//! What EMQ X 4.3 calls modules that are called otherwise here.

const PREFIX: &str = "emqx_mod_";

/// EMQ X's name without what all of them begin with, and ours.
const OTHERWISE: [(&str, &str); 2] = [("delayed", "delayed_publish"), ("rewrite", "topic_rewrite")];

/// A module's name as EMQ X says it: `emqx_mod_presence`, `emqx_mod_delayed`.
pub fn emqx_name(name: &str) -> String {
    let theirs = OTHERWISE.iter().find(|(_, ours)| *ours == name);
    format!("{PREFIX}{}", theirs.map_or(name, |(theirs, _)| theirs))
}

/// A module's type as the enterprise edition says it: `internal_acl`.
pub fn enterprise_name(name: &str) -> &str {
    if name == "acl_internal" { "internal_acl" } else { name }
}

/// EMQ X's name for a module in ours; ours is as good.
pub fn house_name(name: &str) -> &str {
    let name = match name.strip_prefix(PREFIX).unwrap_or(name) {
        // So the enterprise edition has it.
        "internal_acl" => "acl_internal",
        name => name,
    };
    OTHERWISE.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_emqx_are_understood_and_said() {
        for (theirs, ours) in [
            ("emqx_mod_presence", "presence"),
            ("emqx_mod_delayed", "delayed_publish"),
            ("emqx_mod_rewrite", "topic_rewrite"),
            ("emqx_mod_acl_internal", "acl_internal"),
        ] {
            assert_eq!((house_name(theirs), house_name(ours)), (ours, ours));
            assert_eq!(emqx_name(ours), theirs);
            assert_eq!(house_name(enterprise_name(ours)), ours);
        }
        assert_eq!(house_name("internal_acl"), "acl_internal");
    }
}
