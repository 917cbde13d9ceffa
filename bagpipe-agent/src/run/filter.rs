//! Which routes are shown.

use crate::api::RoutesRequest;
use crate::engine::RouteView;

/// Whether a route is as asked for, wherever it came from.
pub(super) fn admits(request: &RoutesRequest, route: &RouteView) -> bool {
    let RoutesRequest { family, route_target, imported_by, .. } = request;
    let imported = |name| route.imported_by.iter().any(|importer| importer == name);
    family.is_none_or(|family| route.nlri.family() == family)
        && route_target.is_none_or(|target| route.attributes.route_targets().any(|own| own == target))
        && imported_by.as_ref().is_none_or(imported)
}
