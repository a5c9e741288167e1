internal import AccessLogs
internal import Dispatch
internal import FlowStore
internal import Glibc

/// Reads files with several threads, each of which does what is most urgent: reading the next piece, parsing one, or handing
/// the first one that is parsed to the store.
///
///     file   -> piece 4 -> | piece 3 | -> piece 1 -> store
///     one hand             | piece 2 |    one hand
///     at a time            any hand       at a time
///
/// No thread is bound to a task, so that none waits while there is something to do. Pieces are handed over in the order of
/// the log, with the same rows whatever the number of hands: a piece may be parsed before the one in front of it, from where
/// that will probably leave the parser; where it did not, it is parsed again.
final class PieceCrew {
  fileprivate let hands: [PieceHand]
  private let writer: StoreWriter
  private let options: IngestOptions
  private var files = 0
  /// No file has them at the moment. Made anew for each of many files, they would leave holes between what else is kept, into
  /// which the next ones do not fit.
  private var idle: [Piece] = []
  private let queue = DispatchQueue(label: "gatewatch.hand", attributes: .concurrent)
  /// How often what was parsed ahead has turned out to be in vain.
  private var round = 0
  /// How the last log left its parser.
  var standing = LineParser.Standing()
  /// Called after each piece with the bytes read of the file as it lies on disk.
  var onPiece: ((Int64) -> Void)?

  init(writer: StoreWriter, options: IngestOptions) {
    self.writer = writer
    self.options = options
    hands = (0..<max(options.threads, 1)).map { PieceHand(options.formats, number: $0) }
  }

  /// For what no crew reads.
  var parser: LineParser { hands[0].parser }

  /// Reads `file` from where it stands, which is the reading position of `log`, to its end.
  func read(_ file: LogFile, as log: KnownLog, prefix: ConsumedPrefix, tally: inout Tally) -> LogReader.Result {
    files += 1
    let state = LogState(log: log, prefix: prefix)
    let reader = PieceReader(
      file, options.limits, isFinalInput: options.isFinal, prefix: file.isCompressed ? nil : prefix)
    let keeper = PieceKeeper(state, file, writer, options)
    let work = PieceWork(
      reader, keeper, options.limits, hands: hands.count, file: files,
      context: state.context(modifiedNs: file.modifiedNs), inflates: file.isCompressed, sums: options.keep != .all,
      round: round, from: standing.beginning(carry: state.record.carry ?? []), idle: idle,
      beforePiece: options.beforePiece)
    idle = []
    if let onPiece { keeper.onPiece = onPiece }
    let group = DispatchGroup()
    if !reader.isSmall {
      for hand in hands.dropFirst() { queue.async(group: group) { work.run(hand) } }
    }
    work.run(hands[0])
    group.wait()
    round = work.round
    standing = work.standing
    idle = work.takePieces()
    // What is left of pieces that were parsed in vain is forgotten before anything else is parsed.
    for hand in hands { hand.follow(round) }
    return keeper.finish(log, reader, carry: standing.carry, &tally)
  }
}

/// One thread's parser.
///
/// `@unchecked Sendable`: one thread at a time has it.
final class PieceHand: @unchecked Sendable {
  /// Made by the thread that needs it.
  private(set) lazy var parser = LineParser(formats: formats)
  private let formats: [FormatPlan]
  let number: Int
  private var file = 0
  private var round = 0

  init(_ formats: [FormatPlan], number: Int) {
    self.formats = formats
    self.number = number
  }

  func begin(_ file: Int, _ context: LogContext) {
    guard file != self.file else { return }
    self.file = file
    parser.begin(log: context)
  }

  /// What was told in pieces that nobody gets has to be told again.
  func follow(_ round: Int) {
    guard round != self.round else { return }
    self.round = round
    parser.forgetEntries()
  }
}

/// The pieces of one file on their way.
///
/// `@unchecked Sendable`: all below is touched under `mutex` alone, or by the one hand that reads, or by the one that delivers.
private final class PieceWork: @unchecked Sendable {
  private let reader: PieceReader
  private let keeper: PieceKeeper
  private let limits: IngestLimits
  private let file: Int
  private let context: LogContext
  /// Reading is most of the work: nothing is done before it.
  private let inflates: Bool
  private let mostPieces: Int
  private let beforePiece: IngestOptions.PieceHook?

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  /// In the order of the log.
  private var pieces: [Piece] = []
  private var free: [Piece]
  private var madePieces: Int
  private var isReading = false
  private var isDelivering = false
  private var hasReadAll = false
  private var isOver = false
  /// How often what was parsed ahead has turned out to be in vain.
  private(set) var round: Int
  /// How the pieces that were delivered, or are at the moment, leave a parser.
  private(set) var standing: LineParser.Standing
  /// How the last piece that was parsed leaves a parser, and which it is.
  private var latest: (index: Int, standing: LineParser.Standing)
  /// Pieces before this one are parsed only when the one in front of them is: of the first it is unknown what its lines are
  /// like, and after one that was parsed in vain the next ones probably would be, too.
  private var aheadFrom = 1
  private var caution = PieceWork.leastCaution

  private static let leastCaution = 8
  private static let mostCaution = 1 << 20

  init(
    _ reader: PieceReader, _ keeper: PieceKeeper, _ limits: IngestLimits, hands: Int, file: Int, context: LogContext,
    inflates: Bool, sums: Bool, round: Int, from standing: LineParser.Standing,
    idle: [Piece], beforePiece: IngestOptions.PieceHook?
  ) {
    self.reader = reader
    self.keeper = keeper
    self.limits = limits
    self.file = file
    self.context = context
    self.inflates = inflates
    self.beforePiece = beforePiece
    self.round = round
    self.standing = standing
    latest = (-1, standing)
    // One at each hand, and as many ready; more where one commits sums, which takes longer than rows, or where inflating must
    // not wait for the other one, which has hardly less to do.
    mostPieces = hands == 1 ? 1 : 2 * hands + (inflates ? 10 : sums ? 6 : 2)
    // A gzipped file may have left more than another one needs.
    free = Array(idle.prefix(mostPieces))
    madePieces = free.count
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// All pieces, for the next file; to be called when no hand works any more.
  func takePieces() -> [Piece] {
    let pieces = free + pieces
    for piece in pieces { piece.rest() }
    (self.free, self.pieces) = ([], [])
    return pieces
  }

  /// What one thread does until the file is done with.
  func run(_ hand: PieceHand) {
    pthread_mutex_lock(mutex)
    while !isOver {
      if inflates, read(hand) { continue }
      if deliver(hand) || parse(hand) { continue }
      if !inflates, read(hand) { continue }
      pthread_cond_wait(changed, mutex)
    }
    pthread_mutex_unlock(mutex)
  }

  private func unlocked(_ body: () -> Void) {
    pthread_mutex_unlock(mutex)
    body()
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(changed)
  }

  // MARK: What there may be to do; each is called under the lock, and false when it is not its turn

  private func read(_ hand: PieceHand) -> Bool {
    guard !isReading, !hasReadAll else { return false }
    let piece: Piece
    // One whose memory is in this processor's cache, if there is one.
    if let place = free.lastIndex(where: { $0.reader == hand.number }) ?? free.indices.last {
      piece = free.remove(at: place)
    } else {
      guard madePieces < mostPieces else { return false }
      madePieces += 1
      piece = Piece(
        chunkBytes: limits.chunkBytes, roomBytes: PieceReader.roomBytes(limits), batchRows: limits.batchRows)
    }
    piece.reader = hand.number
    isReading = true
    unlocked { reader.read(piece) }
    isReading = false
    hasReadAll = piece.isLast
    piece.stage = piece.holdsLines ? .filled : .parsed
    pieces.append(piece)
    return true
  }

  private func parse(_ hand: PieceHand) -> Bool {
    // The first one: what a hand meets that is new has to be stored before what it parses later.
    guard let place = pieces.firstIndex(where: { $0.stage == .filled }) else { return false }
    // One in front that is still parsed in vain has its turn first: whoever parsed this one would, taking that one after it,
    // know names that are not yet stored.
    guard !pieces[..<place].contains(where: { $0.stage == .parsing && $0.round != round }) else { return false }
    let piece = pieces[place]
    let entry: LineParser.Standing
    if let known = standing(before: place) {
      entry = known
    } else {
      guard piece.index >= aheadFrom else { return false }
      // Records seldom go on in the next piece.
      entry = latest.standing.withoutCarry
    }
    piece.stage = .parsing
    piece.round = round
    piece.parser = hand.number
    unlocked {
      beforePiece?(.parse, piece.index)
      hand.begin(file, context)
      hand.follow(piece.round)
      piece.parse(with: hand.parser, from: entry)
    }
    piece.stage = piece.round == round ? .parsed : .filled
    if piece.stage == .parsed, piece.index > latest.index { latest = (piece.index, piece.exit) }
    return true
  }

  /// How the piece in front leaves the parser, where that is known.
  private func standing(before place: Int) -> LineParser.Standing? {
    for piece in pieces[..<place].reversed() where piece.holdsLines {
      return piece.stage == .parsed ? piece.exit : nil
    }
    return standing
  }

  private func deliver(_ hand: PieceHand) -> Bool {
    guard !isDelivering, let piece = pieces.first, piece.stage == .parsed else { return false }
    if piece.holdsLines {
      guard piece.isRight(after: standing) else {
        dropParsed(from: piece.index)
        return true
      }
      standing = piece.exit
    }
    if !piece.holdsLines { piece.parser = hand.number }
    pieces.removeFirst()
    isDelivering = true
    var goesOn = true
    let carry = standing.carry
    unlocked {
      beforePiece?(.store, piece.index)
      goesOn = keeper.keep(piece, hand.parser, carry: carry)
    }
    isDelivering = false
    if !goesOn || piece.isLast { isOver = true }
    free.append(piece)
    return true
  }

  /// The first piece was parsed from where the one before does not end: so probably were those behind it.
  private func dropParsed(from index: Int) {
    round += 1
    aheadFrom = index + caution
    caution = min(caution * 2, PieceWork.mostCaution)
    latest = (index - 1, standing)
    for piece in pieces where piece.stage == .parsed && piece.holdsLines { piece.stage = .filled }
    pthread_cond_broadcast(changed)
  }
}
