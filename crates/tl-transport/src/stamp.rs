use tl_engine::Engine;
use tl_wire::draft::Stamp;

/// Fills in what publishers leave out, from the engine's own clock and chance.
pub struct EngineStamp<'a>(pub &'a Engine);

impl Stamp for EngineStamp<'_> {
    fn id(&self) -> String {
        self.0.environment().new_id()
    }

    fn time(&self) -> String {
        self.0.environment().now_text()
    }
}
