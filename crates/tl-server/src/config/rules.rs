use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tl_engine::SCHEMAS_CHANNEL;
use tl_model::limits::EVENT_DATA_BYTES_MAX;
use tl_model::{Channel, Durability, Pattern, Retention, Rule, Rules, SchemaRule};

use super::{ByteCount, HumanDuration};

/// What holds for the channels of a pattern.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Which channels: a name such as `orders.eu`, `*` for any one token, a final `>` for the rest.
    pub pattern: String,
    /// How safe an event is before its publisher gets the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityConfig>,
    /// How long events are kept; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
    /// Largest data of one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_bytes_max: Option<ByteCount>,
    /// Whether every publish must say which state of the channel it has seen (`If-Match`), so that
    /// nobody overwrites what they have not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_condition: Option<bool>,
    /// Whether every publish must have an idempotency key, so that it can be repeated safely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_idempotency_key: Option<bool>,
    /// Whether data is checked with the schema of its event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<SchemasConfig>,
    /// The schema that all events are checked with, whatever their type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// Whether data is checked with the schema of its event's type.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemasConfig {
    /// If the type has one. The default.
    Known,
    /// Not at all.
    Off,
    /// Always: events of types without a schema are refused.
    Required,
}

/// How safe an event is before its publisher gets the receipt.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityConfig {
    /// On disk: survives a power loss. The default.
    Fsync,
    /// Handed to the operating system: survives the process, not a power loss.
    Os,
    /// Accepted in memory, written within a second.
    Memory,
    /// Not logged at all: passed to whoever is subscribed right now.
    None,
}

/// How long events are kept. An event goes when it is beyond any of the limits; space is given back
/// in whole segments, so events can stay readable for longer.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Not older than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<HumanDuration>,
    /// Not more than the newest so many of each channel; 1 keeps only the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Not more than the newest so many bytes of each channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteCount>,
}

/// The rules of a configuration, or what is wrong with one.
pub(super) fn parse(rules: &[RuleConfig]) -> Result<Rules, String> {
    let parsed = rules.iter().map(parse_one).collect::<Result<_, _>>()?;
    let schemas = rules.iter().map(parse_schemas).collect::<Result<Vec<_>, _>>()?;
    Ok(Rules::new(parsed).with_schemas(schemas.into_iter().flatten().collect()))
}

/// What a rule says of schemas, if anything.
fn parse_schemas(rule: &RuleConfig) -> Result<Option<(Pattern, SchemaRule)>, String> {
    let schemas = match (rule.schemas, &rule.schema) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let text = "`schemas` and `schema` exclude each other";
            return Err(format!("the rule for `{}`: {text}", rule.pattern));
        }
        (None, Some(name)) => SchemaRule::Named(name.as_str().into()),
        (Some(SchemasConfig::Known), None) => SchemaRule::Known,
        (Some(SchemasConfig::Off), None) => SchemaRule::Off,
        (Some(SchemasConfig::Required), None) => SchemaRule::Required,
    };
    let pattern = Pattern::parse(&rule.pattern).map_err(|error| error.to_string())?;
    Ok(Some((pattern, schemas)))
}

/// What is kept there has to be there when the server starts.
fn is_kept_for_ever(pattern: &Pattern) -> bool {
    Channel::parse(SCHEMAS_CHANNEL).is_ok_and(|channel| pattern.matches(&channel))
}

fn parse_one(rule: &RuleConfig) -> Result<Rule, String> {
    let pattern = Pattern::parse(&rule.pattern)
        .map_err(|error| format!("the rule for `{}`: {error}", rule.pattern))?;
    let event_bytes_max = rule.event_bytes_max.map(|bytes| bytes.0 as usize);
    if event_bytes_max.is_some_and(|bytes| bytes > EVENT_DATA_BYTES_MAX) {
        let most = ByteCount(EVENT_DATA_BYTES_MAX as u64);
        return Err(format!("the rule for `{pattern}`: `event_bytes_max` is at most {most}"));
    }
    if rule.retention.is_some_and(|retention| retention.count == Some(0)) {
        return Err(format!("the rule for `{pattern}`: `retention.count` is at least 1"));
    }
    if rule.retention.is_some() && is_kept_for_ever(&pattern) {
        return Err(format!("the rule for `{pattern}`: {SCHEMAS_CHANNEL} has no retention"));
    }
    Ok(Rule {
        pattern,
        durability: rule.durability.map(Durability::from),
        retention: rule.retention.map(Retention::from),
        event_bytes_max,
        require_condition: rule.require_condition,
        require_idempotency_key: rule.require_idempotency_key,
    })
}

impl From<DurabilityConfig> for Durability {
    fn from(durability: DurabilityConfig) -> Self {
        match durability {
            DurabilityConfig::Fsync => Self::Fsync,
            DurabilityConfig::Os => Self::Os,
            DurabilityConfig::Memory => Self::Memory,
            DurabilityConfig::None => Self::None,
        }
    }
}

impl From<RetentionConfig> for Retention {
    fn from(retention: RetentionConfig) -> Self {
        Self {
            age: retention.age.map(|age| age.0),
            count: retention.count,
            bytes: retention.bytes.map(|bytes| bytes.0),
        }
    }
}
