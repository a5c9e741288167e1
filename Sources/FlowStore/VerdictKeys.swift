internal import Flows

// Where verdicts stand. A key is made of numbers that fill it from the right, so that the look-up of a flow's verdict is one by
// row id; the view `judged_flow` makes the same keys in SQL, and a test holds the two equal.

/// The key of a row in `route_verdict`.
///
///     interval of the policy | class of the source | class of the destination
///           22 bits                  20 bits                20 bits
public struct RouteKey: Hashable, Sendable {
  private static let intervalBits = 22
  private static let classBits = 20
  /// What the numbers of intervals and classes are below.
  static let intervals = 1 << intervalBits
  static let classes = 1 << classBits

  var interval: Int
  var sourceClass: Int
  var destinationClass: Int

  init(interval: Int, sourceClass: Int, destinationClass: Int) {
    self.interval = interval
    self.sourceClass = sourceClass
    self.destinationClass = destinationClass
  }

  init(stored: Int64) {
    interval = Int(stored >> (2 * Int64(RouteKey.classBits)))
    sourceClass = Int(stored >> Int64(RouteKey.classBits)) & (RouteKey.classes - 1)
    destinationClass = Int(stored) & (RouteKey.classes - 1)
  }

  var stored: Int64 {
    Int64(interval) << (2 * Int64(RouteKey.classBits)) | Int64(sourceClass) << Int64(RouteKey.classBits)
      | Int64(destinationClass)
  }

  /// The class of the source in SQL, of the key in a column.
  public static func sourceClass(of column: String) -> String {
    "((\(column) >> \(classBits)) & \(classes - 1))"
  }
}

/// The key of a row in `outcome_verdict`; that of outcome 0 is the `context_key` of a route.
///
///     number of the context | row id of the outcome
///            23 bits                40 bits
struct EndingKey: Hashable {
  private static let outcomeBits = 40
  /// What the row ids of outcomes are below.
  static let outcomes: Int64 = 1 << Int64(outcomeBits)

  /// In `OutcomeContext.allCases`, the order of which is kept by the store's version.
  var context: Int
  var outcome: Int64

  init(_ context: OutcomeContext, outcome: Int64 = 0) {
    self.context = OutcomeContext.allCases.firstIndex(of: context)!
    self.outcome = outcome
  }

  init(stored: Int64) {
    context = Int(stored >> Int64(EndingKey.outcomeBits))
    outcome = stored & (EndingKey.outcomes - 1)
  }

  var stored: Int64 { Int64(context) << Int64(EndingKey.outcomeBits) | outcome }

  /// The outcome in SQL, of the key in a column.
  static func outcome(of column: String) -> String { "(\(column) & \(outcomes - 1))" }
}

extension Judgement.Route {
  var key: RouteKey { RouteKey(interval: interval, sourceClass: sourceClass, destinationClass: destinationClass) }
}

extension Judgement.Ending {
  var key: EndingKey { EndingKey(context, outcome: outcome) }
}
