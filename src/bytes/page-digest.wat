;; xxh64 (seed 0) of pages, and a test for zero pages, on memory that sockets and files are read into: no page is copied,
;; no number leaves as a BigInt. Page sizes are multiples of 64 bytes, so xxh64's tail never occurs.
;; The algorithm: doc/xxhash_spec.md of the xxHash project. Built by script/build-wasm.mjs.
(module
  (import "env" "memory" (memory 1))

  ;; xxh64 of size bytes at ptr
  (func $xxh64 (param $ptr i32) (param $size i32) (result i64)
    (local $end i32) (local $v1 i64) (local $v2 i64) (local $v3 i64) (local $v4 i64) (local $h i64)
    (local.set $v1 (i64.add (i64.const 0x9E3779B185EBCA87) (i64.const 0xC2B2AE3D27D4EB4F)))
    (local.set $v2 (i64.const 0xC2B2AE3D27D4EB4F))
    (local.set $v4 (i64.sub (i64.const 0) (i64.const 0x9E3779B185EBCA87)))
    (local.set $end (i32.add (local.get $ptr) (local.get $size)))
    (loop $stripe
      (local.set $v1 (i64.mul (i64.rotl (i64.add (local.get $v1) (i64.mul (i64.load align=1 (local.get $ptr)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
      (local.set $v2 (i64.mul (i64.rotl (i64.add (local.get $v2) (i64.mul (i64.load offset=8 align=1 (local.get $ptr)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
      (local.set $v3 (i64.mul (i64.rotl (i64.add (local.get $v3) (i64.mul (i64.load offset=16 align=1 (local.get $ptr)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
      (local.set $v4 (i64.mul (i64.rotl (i64.add (local.get $v4) (i64.mul (i64.load offset=24 align=1 (local.get $ptr)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
      (local.set $ptr (i32.add (local.get $ptr) (i32.const 32)))
      (br_if $stripe (i32.lt_u (local.get $ptr) (local.get $end))))
    (local.set $h (i64.add
      (i64.add (i64.rotl (local.get $v1) (i64.const 1)) (i64.rotl (local.get $v2) (i64.const 7)))
      (i64.add (i64.rotl (local.get $v3) (i64.const 12)) (i64.rotl (local.get $v4) (i64.const 18)))))
    (local.set $h (call $merge (local.get $h) (local.get $v1)))
    (local.set $h (call $merge (local.get $h) (local.get $v2)))
    (local.set $h (call $merge (local.get $h) (local.get $v3)))
    (local.set $h (call $merge (local.get $h) (local.get $v4)))
    (local.set $h (i64.add (local.get $h) (i64.extend_i32_u (local.get $size))))
    (local.set $h (i64.mul (i64.xor (local.get $h) (i64.shr_u (local.get $h) (i64.const 33))) (i64.const 0xC2B2AE3D27D4EB4F)))
    (local.set $h (i64.mul (i64.xor (local.get $h) (i64.shr_u (local.get $h) (i64.const 29))) (i64.const 0x165667B19E3779F9)))
    (i64.xor (local.get $h) (i64.shr_u (local.get $h) (i64.const 32))))

  (func $merge (param $h i64) (param $v i64) (result i64)
    (i64.add
      (i64.mul
        (i64.xor (local.get $h)
          (i64.mul (i64.rotl (i64.mul (local.get $v) (i64.const 0xC2B2AE3D27D4EB4F)) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
        (i64.const 0x9E3779B185EBCA87))
      (i64.const 0x85EBCA77C2B2AE63)))

  ;; stores h at ptr, most significant byte first, as xxHash prints it
  (func $store_be (param $ptr i32) (param $h i64)
    (local.set $h (i64.or
      (i64.shl (i64.and (local.get $h) (i64.const 0x00FF00FF00FF00FF)) (i64.const 8))
      (i64.and (i64.shr_u (local.get $h) (i64.const 8)) (i64.const 0x00FF00FF00FF00FF))))
    (local.set $h (i64.or
      (i64.shl (i64.and (local.get $h) (i64.const 0x0000FFFF0000FFFF)) (i64.const 16))
      (i64.and (i64.shr_u (local.get $h) (i64.const 16)) (i64.const 0x0000FFFF0000FFFF))))
    (i64.store (local.get $ptr) (i64.rotl (local.get $h) (i64.const 32))))

  ;; hashes count pages of size bytes, the first at ptr, stride bytes from one to the next; digests of 8 bytes go to out
  (func (export "hash_run") (param $ptr i32) (param $count i32) (param $stride i32) (param $size i32) (param $out i32)
    (block $done
      (loop $page
        (br_if $done (i32.eqz (local.get $count)))
        (call $store_be (local.get $out) (call $xxh64 (local.get $ptr) (local.get $size)))
        (local.set $ptr (i32.add (local.get $ptr) (local.get $stride)))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $page))))

  ;; 1 when size bytes at ptr are all zero
  (func (export "is_zero") (param $ptr i32) (param $size i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $ptr) (local.get $size)))
    (loop $next
      (if (v128.any_true (v128.or
            (v128.or (v128.load align=1 (local.get $ptr)) (v128.load offset=16 align=1 (local.get $ptr)))
            (v128.or (v128.load offset=32 align=1 (local.get $ptr)) (v128.load offset=48 align=1 (local.get $ptr)))))
        (then (return (i32.const 0))))
      (local.set $ptr (i32.add (local.get $ptr) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $ptr) (local.get $end))))
    (i32.const 1)))
