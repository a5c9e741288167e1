/// 64-bit hashes of byte strings.
///
/// Eight bytes a step, one 64x64 -> 128 bit multiplication each, folded (the "mum" step of wyhash). What is kept in the
/// store (`RequestID`) must never change.
enum Hash {
  @inline(__always) static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  static let k0: UInt64 = 0xA076_1D64_78BD_642F
  static let k1: UInt64 = 0xE703_7ED1_A0B4_28DB
  static let k2: UInt64 = 0x8EBC_6AF0_9C88_C6E3

  /// Adds a slice to a running hash. Reads up to seven bytes past the slice's end.
  @inline(__always) static func add(_ slice: Slice, to hash: UInt64) -> UInt64 {
    var h = hash ^ (UInt64(bitPattern: Int64(slice.count)) &* k2)
    var p = slice.start
    var left = slice.count
    while left >= 16 {
      h = mix(Scan.load(p) ^ k0, Scan.load(p + 8) ^ h)
      p += 16
      left -= 16
    }
    if left >= 8 {
      h = mix(Scan.load(p) ^ k1, h ^ k0)
      p += 8
      left -= 8
    }
    if left > 0 {
      let tail = Scan.load(p) & (UInt64.max >> UInt64((8 - left) * 8))
      h = mix(tail ^ k0, h ^ k1)
    }
    return h
  }

  @inline(__always) static func finish(_ hash: UInt64) -> UInt64 { mix(hash ^ k1, hash &+ k2) }
}

/// The hash under which a request id is stored, so that hops can be joined without keeping the id.
public enum RequestID {
  /// 64-bit hash of a request id; 0 for a missing one.
  ///
  /// Envoy rewrites one hexadecimal digit of a UUID to carry the trace decision (character 14, the start of the third group;
  /// `source/extensions/request_id/uuid/config.h`), so that digit is masked: the ids of all hops of one request are equal then.
  public static func hash(_ id: String) -> UInt64 {
    var bytes = Array(id.utf8)
    let count = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: 16))
    return bytes.withUnsafeBufferPointer { hash(Slice($0.baseAddress!, $0.baseAddress! + count)) }
  }

  @inline(__always) static func hash(_ id: Slice) -> UInt64 {
    if id.count == 36, id[14] != 0, id[8] == ASCII.minus, id[13] == ASCII.minus {
      // 36 bytes in five words; the version digit is byte 14, byte 6 of the second word.
      let p = id.start
      let b = Scan.load(p + 8) & ~(0xFF << 48)
      var h = Hash.mix(Scan.load(p) ^ Hash.k0, b ^ Hash.k1)
      h = Hash.mix(Scan.load(p + 16) ^ h, Scan.load(p + 24) ^ Hash.k2)
      let last = UInt64(UnsafeRawPointer(p + 32).loadUnaligned(as: UInt32.self))
      return nonZero(Hash.mix(last ^ h, Hash.k1 &+ h))
    }
    if id.isMissing { return 0 }
    return nonZero(Hash.finish(Hash.add(id, to: Hash.k0)))
  }

  @inline(__always) private static func nonZero(_ hash: UInt64) -> UInt64 { hash == 0 ? 1 : hash }
}
