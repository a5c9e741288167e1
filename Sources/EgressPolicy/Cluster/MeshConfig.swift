internal import Yams

/// Istio's mesh configuration, as far as it says what becomes of traffic to unknown destinations.
enum MeshConfig {
  /// `ALLOW_ANY` or `REGISTRY_ONLY`; Istio's default where nothing is said, `?` where the text is no YAML.
  static func outboundTrafficPolicy(in yaml: String) -> String {
    guard YAMLKeys.unusual(in: yaml) == nil, let node = try? Yams.compose(yaml: yaml) else { return "?" }
    guard let mode = node.mapping?["outboundTrafficPolicy"]?.mapping?["mode"]?.scalar?.string else {
      return "ALLOW_ANY"
    }
    return bounded(mode)
  }
}
