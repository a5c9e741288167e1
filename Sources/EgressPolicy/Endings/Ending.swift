internal import Flows

/// How a flow ended, read from the proxy's own words in the context its route gives them.
enum Ending {
  static func verdict(of outcome: Outcome, in context: OutcomeContext) -> OutcomeVerdict {
    var verdict =
      switch context {
      case .nginxStream: NginxEnding.stream(outcome)
      case .nginxHTTP: NginxEnding.http(outcome)
      case .squid: SquidEnding.verdict(outcome)
      default: EnvoyEnding.verdict(outcome, context)
      }
    // only the record at the end of a request or connection is countable
    if let type = outcome.recordType, !type.hasSuffix("End"), type != "NotSet" { verdict.isDuplicateView = true }
    if outcome.warnings.contains(.ambiguousColumns) {
      verdict.neverClears = true
      // "nothing left" is a clearance, too
      verdict.left = true
    }
    return verdict
  }
}
