/// The times and numbers that decide what may be joined.
///
/// Measured on Envoy 1.40, nginx 1.22 and Squid 5.7: a gateway's start lies 0-3 ms (HTTP) or up to 28 ms (TCP) after the
/// sidecar's; ends differ by -17 to +1 ms at nginx and -25 to +1 ms at Squid.
public enum JoinLimits {
  /// Starts of two hops further apart are never compared: clocks may differ by 2 s, and a busy proxy adds to that. A
  /// power of two, so that a time's slot is a shift.
  static let slotBits: Int64 = 12
  public static let slotMs: Int64 = 1 << slotBits
  /// Without an estimate of the skew between two logs.
  static let unknownSkewMs: Int64 = 2_500
  /// With one: a request is never seen by the next hop before the one before, but for the estimate's own error.
  static let knownSkewMs: Int64 = 150
  /// Between two candidates that all else makes equal.
  static let narrowMs: Int64 = 50
  /// A TCP connection is logged when it is made; the next hop's is made a moment later.
  static let connectMs: Int64 = 1_000
  /// Unambiguous joins that an estimate of the skew needs.
  static let skewSamples = 5
  /// Skew is estimated anew for each such stretch, for clocks are set and drift.
  static let skewCellMs: Int64 = 60_000
  /// More candidates with one key in one slot than this are ambiguous without looking at them.
  static let crowd = 64
  /// The shortest and longest ClientHello that nginx before 1.25.5 leaves out of its count.
  static let clientHello: ClosedRange<Int64> = 64...17_000
  /// nginx's `$time_local` has whole seconds.
  static let wholeSecondMs: Int64 = 1_000
  /// Hops that log no port: how much longer the earlier one may have lasted.
  static let lifeSlackMs: Int64 = 2_000
  /// ... where no byte came back, so that bytes prove little.
  static let emptyLifeSlackMs: Int64 = 20
  /// Lines further apart are not held against each other where an earlier hop is missing: repeated attempts and challenges
  /// come within seconds.
  static let absenceReachMs: Int64 = 40_000
  /// More lines without an earlier hop than this, of one client and one proxy, are not looked at one by one where a connection may
  /// have carried any of them: all are doubtful.
  static let doubtCrowd = 256
  /// How far apart the lines may be that show where a proxy is reached which logs no address of its own: all that
  /// `influenceMs` leaves.
  static let witnessReachMs: Int64 = 38_000
  /// Hops of the longest chain.
  static let longestChain = 8

  /// What is decided for a hop depends on nothing further away than this: a hop's candidates lie in the slots beside its
  /// own, so one decision reaches two slots; five rounds of decisions, a cell of skew and a chain of four hops add up to
  /// 134 seconds, or to 172 where a proxy logs no address. What is asked where an earlier hop is missing needs no chain,
  /// and reaches 40 seconds further than all else: 179.
  public static let influenceMs: Int64 = 180_000
}
