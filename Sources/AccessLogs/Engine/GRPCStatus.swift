/// What `%GRPC_STATUS%` prints, as the number that it stands for: `PermissionDenied`, `PERMISSION_DENIED` and `7` are one.
///
/// Source: github.com/grpc/grpc `doc/statuscodes.md`; Envoy `source/common/grpc/status.cc`;
/// envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage (`GRPC_STATUS`).
enum GRPCStatus {
  /// By number.
  private static let names = [
    "ok", "canceled", "unknown", "invalidargument", "deadlineexceeded", "notfound", "alreadyexists", "permissiondenied",
    "resourceexhausted", "failedprecondition", "aborted", "outofrange", "unimplemented", "internal", "unavailable",
    "dataloss", "unauthenticated",
  ]

  /// nil for what is no status that gRPC knows.
  static func number(_ text: String) -> Int? {
    if let number = Int(text) { return names.indices.contains(number) ? number : nil }
    let name = text.asciiLowercased.replacing("_", with: "")
    return names.firstIndex(of: name == "cancelled" ? "canceled" : name)
  }
}
