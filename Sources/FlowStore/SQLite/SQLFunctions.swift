internal import Flows
internal import GRDBSQLite

/// SQL functions that the reports use beside SQLite's own; every reader has them.
///
///     latency_histogram(duration_ms)      aggregate: a histogram, as a blob that can be kept and merged
///     histogram_merge(histogram)          aggregate: the histogram of all values of several
///     histogram_percentile(histogram, p)  p from 0 to 100
///     histogram_count(histogram)  histogram_min(histogram)  histogram_max(histogram)  histogram_mean(histogram)
///     cidr_match(address, network)        1, 0, or NULL when either is NULL or no address
///     glob_match(text, pattern)           as GLOB, with the arguments as they are read and without regard to case
enum SQLFunctions {
  static func register(on connection: OpaquePointer) throws(StoreError) {
    try aggregate("latency_histogram", on: connection) { histogram, value in
      guard sqlite3_value_type(value) != SQLITE_NULL else { return true }
      histogram.add(sqlite3_value_int64(value))
      return true
    }
    try aggregate("histogram_merge", on: connection) { histogram, value in
      guard sqlite3_value_type(value) != SQLITE_NULL else { return true }
      guard let other = SQLFunctions.histogram(value) else { return false }
      histogram.merge(other)
      return true
    }
    try scalar("histogram_percentile", 2, on: connection) { context, _, arguments in
      SQLFunctions.answer(context, arguments) { $0.percentile(sqlite3_value_double(arguments![1])) }
    }
    try scalar("histogram_count", 1, on: connection) { context, _, arguments in
      SQLFunctions.answer(context, arguments) { Int64(clamping: $0.count) }
    }
    try scalar("histogram_min", 1, on: connection) { context, _, arguments in
      SQLFunctions.answer(context, arguments) { $0.count == 0 ? nil : $0.min }
    }
    try scalar("histogram_max", 1, on: connection) { context, _, arguments in
      SQLFunctions.answer(context, arguments) { $0.count == 0 ? nil : $0.max }
    }
    try scalar("histogram_mean", 1, on: connection) { context, _, arguments in
      guard sqlite3_value_type(arguments![0]) != SQLITE_NULL else { return }
      guard let histogram = SQLFunctions.histogram(arguments![0]) else {
        sqlite3_result_error(context, "not a histogram", -1)
        return
      }
      if let mean = histogram.mean { sqlite3_result_double(context, mean) }
    }
    try scalar("cidr_match", 2, on: connection) { context, _, arguments in
      guard let text = sqlite3_value_text(arguments![0]), let network = sqlite3_value_text(arguments![1]),
        let address = IPAddress(String(cString: text)),
        let range = try? AddressRange(around: String(cString: network))
      else { return }
      sqlite3_result_int(context, range.contains(address) ? 1 : 0)
    }
    try scalar("glob_match", 2, on: connection) { context, _, arguments in
      guard let text = sqlite3_value_text(arguments![0]), let pattern = sqlite3_value_text(arguments![1]) else {
        return
      }
      let lowerText = String(cString: text).lowercased()
      let lowerPattern = String(cString: pattern).lowercased()
      sqlite3_result_int(context, sqlite3_strglob(lowerPattern, lowerText) == 0 ? 1 : 0)
    }
  }

  /// Deterministic, and harmless inside views and indexes.
  private static let flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS

  private typealias Scalar =
    @convention(c) (OpaquePointer?, Int32, UnsafeMutablePointer<OpaquePointer?>?) -> Void

  private static func scalar(
    _ name: String, _ count: Int32, on connection: OpaquePointer, _ body: Scalar
  ) throws(StoreError) {
    guard
      sqlite3_create_function_v2(connection, name, count, flags, nil, body, nil, nil, nil) == SQLITE_OK
    else { throw StoreError(connection: connection, sql: nil) }
  }

  private static func histogram(_ value: OpaquePointer?) -> Histogram? {
    guard let start = sqlite3_value_blob(value) else { return nil }
    // value_blob points at value_bytes bytes, until the function returns.
    let bytes = UnsafeRawBufferPointer(start: start, count: Int(sqlite3_value_bytes(value)))
    return Histogram(encoded: Array(bytes))
  }

  private static func answer(
    _ context: OpaquePointer?, _ arguments: UnsafeMutablePointer<OpaquePointer?>?, _ ask: (Histogram) -> Int64?
  ) {
    guard let value = arguments?[0], sqlite3_value_type(value) != SQLITE_NULL else { return }
    guard let histogram = histogram(value) else {
      sqlite3_result_error(context, "not a histogram", -1)
      return
    }
    if let answer = ask(histogram) { sqlite3_result_int64(context, answer) }
  }

  // MARK: Aggregates

  /// Takes one value; false when it is not what the function counts.
  private typealias Step = (inout Histogram, OpaquePointer?) -> Bool

  private final class Aggregate {
    let step: Step
    init(_ step: @escaping Step) { self.step = step }
  }

  /// What SQLite keeps per group: zeroed memory of this size, in which a pointer to the histogram lives.
  private typealias Group = UnsafeMutablePointer<Histogram>?

  private static func aggregate(
    _ name: String, on connection: OpaquePointer, _ step: @escaping Step
  ) throws(StoreError) {
    let owner = Unmanaged.passRetained(Aggregate(step))
    let code = sqlite3_create_function_v2(
      connection, name, 1, flags, owner.toOpaque(), nil,
      { context, _, arguments in
        let owner = Unmanaged<Aggregate>.fromOpaque(sqlite3_user_data(context)!)
        guard
          let group = sqlite3_aggregate_context(context, Int32(MemoryLayout<Group>.size))?
            .assumingMemoryBound(to: Group.self)
        else {
          sqlite3_result_error_nomem(context)
          return
        }
        if group.pointee == nil {
          let histogram = UnsafeMutablePointer<Histogram>.allocate(capacity: 1)
          histogram.initialize(to: Histogram())
          group.pointee = histogram
        }
        let isCounted = owner._withUnsafeGuaranteedRef { $0.step(&group.pointee!.pointee, arguments![0]) }
        if !isCounted { sqlite3_result_error(context, "not a histogram", -1) }
      },
      { context in
        // Size 0: no memory is made for a group without rows. Runs once per group, also after an error.
        guard let group = sqlite3_aggregate_context(context, 0)?.assumingMemoryBound(to: Group.self),
          let histogram = group.pointee
        else { return }
        let bytes = histogram.pointee.encoded
        if histogram.pointee.count > 0 {
          // The destructor -1 has SQLite copy the bytes before the call returns.
          bytes.withUnsafeBytes {
            sqlite3_result_blob64(
              context, $0.baseAddress, UInt64($0.count), unsafeBitCast(-1, to: sqlite3_destructor_type.self))
          }
        }
        histogram.deinitialize(count: 1)
        histogram.deallocate()
        group.pointee = nil
      }, { Unmanaged<Aggregate>.fromOpaque($0!).release() })
    guard code == SQLITE_OK else { throw StoreError(connection: connection, sql: nil) }
  }
}
