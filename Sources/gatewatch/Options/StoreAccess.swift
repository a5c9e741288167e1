internal import EgressPolicy
internal import FlowStore
internal import Foundation
internal import Ingestion
internal import Reports

/// Opens a store for questions, with its verdicts as they should be.
enum StoreAccess {
  /// How long a question waits for a running ingest before it says that verdicts are not up to date.
  private static let wait: Duration = .seconds(2)

  /// - Parameter limits: for SQL typed by the user.
  static func reader(_ options: ReadOptions, limits: QueryLimits? = nil) throws -> FlowReader {
    // Opened before anything writes: a missing database must not be made.
    let reader = try FlowReader(path: options.database, guarded: limits)
    if let file = options.policy {
      let policy = try StoreAccess.policy(file: file)
      try rejudge(options.database, wait: .seconds(60)) { store in
        try keep(policy, file: file, in: store)
        try Rejudge.runAndNoteSigns(store: store, policy: policy.policy)
      }
    } else if try !isJudged(reader) {
      do {
        try rejudge(options.database, wait: wait) { try judgeByStoredPolicy($0) }
      } catch {
        Terminal.complain("verdicts are not up to date: \(error)")
      }
    }
    return reader
  }

  /// Keeps the policy for later runs. Where they had another one, that is said: cron judges by it, too.
  static func keep(_ policy: (policy: Policy, text: String), file: String?, in store: FlowStore) throws {
    if let before = try store.policyText, before != policy.text {
      let name = try store.policyFile.map { ", instead of \($0)" } ?? ""
      let entries = policy.policy.entryCount
      Terminal.complain(
        "\(file ?? "the policy"): everything stored is judged by it from now on, also in later runs\(name) (\(entries) \(entries == 1 ? "entry" : "entries"))"
      )
    }
    try store.setPolicy(text: policy.text, file: file)
  }

  static func policy(file: String) throws -> (policy: Policy, text: String) {
    guard let content = FileManager.default.contents(atPath: file) else {
      throw ReportError(file: file, "cannot be read", help: "--policy takes a YAML file")
    }
    guard let text = String(data: content, encoding: .utf8) else { throw ReportError(file: file, "is not UTF-8") }
    let policy = try Policy.load(yaml: text, file: file)
    // A disk that is full leaves such files, and to judge by one would take back all that was declared.
    guard !policy.isBlank else {
      throw ReportError(
        file: file, "holds no policy: it is empty, or holds comments alone",
        help: "one that declares nothing is `mesh: {}`")
    }
    return (policy, text)
  }

  /// The policy that the store was judged by last; nil for zero configuration.
  static func storedPolicy(_ store: FlowStore) throws -> Policy? {
    guard let text = try store.policyText else { return nil }
    return try Policy.load(yaml: text, file: try store.policyFile ?? "stored policy")
  }

  static func judgeByStoredPolicy(_ store: FlowStore) throws {
    try Rejudge.runAndNoteSigns(store: store, policy: try storedPolicy(store))
  }

  private static func isJudged(_ reader: FlowReader) throws -> Bool {
    var judged = false
    var isEmpty = true
    try reader.query("select value = '1' from meta where key = 'judged'") { judged = $0[0].integer == 1 }
    try reader.query("select 1 from source limit 1") { _ in isEmpty = false }
    return judged || isEmpty
  }

  private static func rejudge(_ path: String, wait: Duration, _ body: (FlowStore) throws -> Void) throws {
    let store = try FlowStore(path: path, wait: wait)
    defer { store.close() }
    try body(store)
    try store.commit()
  }
}
