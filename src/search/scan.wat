;; What is looked for in windows of memory, 64 bytes at a time: bytes under a mask, and runs of printable characters. Windows are
;; read into this memory, so nothing is copied. Reads go up to 80 bytes past a window, and the needle's length.
;; Built by script/build-wasm.mjs.
(module
  (import "env" "memory" (memory 1))

  ;; 1 when the length bytes at ptr, under the mask, are the needle; the needle has no bit that the mask has not
  (func $matches (param $ptr i32) (param $needle i32) (param $mask i32) (param $length i32) (result i32)
    (local $i i32)
    (loop $next
      (if (i32.ge_u (local.get $i) (local.get $length)) (then (return (i32.const 1))))
      (if (i32.eq
            (i32.and
              (i32.load8_u (i32.add (local.get $ptr) (local.get $i)))
              (i32.load8_u (i32.add (local.get $mask) (local.get $i))))
            (i32.load8_u (i32.add (local.get $needle) (local.get $i))))
        (then
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (i32.const 0))

  ;; Writes the places in [ptr, end) where the needle stands to out, 4 bytes each, and returns how many. Ends when there are most
  ;; or more, at most 63 more. a and b: the places in the needle that are looked at first.
  (func (export "find_bytes") (param $ptr i32) (param $end i32) (param $needle i32) (param $mask i32) (param $length i32)
    (param $a i32) (param $b i32) (param $out i32) (param $most i32) (result i32)
    (local $count i32) (local $bits i64) (local $at i32) (local $pa i32) (local $pb i32)
    (local $va v128) (local $ma v128) (local $vb v128) (local $mb v128)
    (local $m0 v128) (local $m1 v128) (local $m2 v128) (local $m3 v128)
    (local.set $va (v128.load8_splat (i32.add (local.get $needle) (local.get $a))))
    (local.set $ma (v128.load8_splat (i32.add (local.get $mask) (local.get $a))))
    (local.set $vb (v128.load8_splat (i32.add (local.get $needle) (local.get $b))))
    (local.set $mb (v128.load8_splat (i32.add (local.get $mask) (local.get $b))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $ptr) (local.get $end)))
        (br_if $done (i32.ge_u (local.get $count) (local.get $most)))
        (local.set $pa (i32.add (local.get $ptr) (local.get $a)))
        (local.set $pb (i32.add (local.get $ptr) (local.get $b)))
        (local.set $m0 (v128.and
          (i8x16.eq (v128.and (v128.load align=1 (local.get $pa)) (local.get $ma)) (local.get $va))
          (i8x16.eq (v128.and (v128.load align=1 (local.get $pb)) (local.get $mb)) (local.get $vb))))
        (local.set $m1 (v128.and
          (i8x16.eq (v128.and (v128.load offset=16 align=1 (local.get $pa)) (local.get $ma)) (local.get $va))
          (i8x16.eq (v128.and (v128.load offset=16 align=1 (local.get $pb)) (local.get $mb)) (local.get $vb))))
        (local.set $m2 (v128.and
          (i8x16.eq (v128.and (v128.load offset=32 align=1 (local.get $pa)) (local.get $ma)) (local.get $va))
          (i8x16.eq (v128.and (v128.load offset=32 align=1 (local.get $pb)) (local.get $mb)) (local.get $vb))))
        (local.set $m3 (v128.and
          (i8x16.eq (v128.and (v128.load offset=48 align=1 (local.get $pa)) (local.get $ma)) (local.get $va))
          (i8x16.eq (v128.and (v128.load offset=48 align=1 (local.get $pb)) (local.get $mb)) (local.get $vb))))
        (if (v128.any_true (v128.or (v128.or (local.get $m0) (local.get $m1)) (v128.or (local.get $m2) (local.get $m3))))
          (then
            (local.set $bits (i64.or
              (i64.or
                (i64.extend_i32_u (i8x16.bitmask (local.get $m0)))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $m1))) (i64.const 16)))
              (i64.or
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $m2))) (i64.const 32))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $m3))) (i64.const 48)))))
            (loop $each
              (local.set $at (i32.add (local.get $ptr) (i32.wrap_i64 (i64.ctz (local.get $bits)))))
              (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
              (if (call $matches (local.get $at) (local.get $needle) (local.get $mask) (local.get $length))
                (then
                  (i32.store (i32.add (local.get $out) (i32.mul (local.get $count) (i32.const 4))) (local.get $at))
                  (local.set $count (i32.add (local.get $count) (i32.const 1)))))
              (local.set $bits (i64.and (local.get $bits) (i64.sub (local.get $bits) (i64.const 1))))
              (br_if $each (i64.ne (local.get $bits) (i64.const 0))))))
        (local.set $ptr (i32.add (local.get $ptr) (i32.const 64)))
        (br $next)))
    (local.get $count))

  ;; Writes the runs of printable characters that begin in [from, to) and have least bytes or more to out, begin and end, 4 bytes
  ;; each; returns how many. They may end behind to: 80 bytes that are not printable and not 0 end what can be seen.
  ;; wide: a character is a printable byte and a 0. open: where the run began that from - 1 stands in, or -1; it is not told.
  ;; carry: 1 when (wide) a character begins at from - 1.
  (func (export "find_runs") (param $from i32) (param $to i32) (param $least i32) (param $wide i32) (param $open i32)
    (param $carry i64) (param $out i32) (result i32)
    (local $ptr i32) (local $first i32) (local $count i32) (local $lead i64) (local $m i64) (local $x i64) (local $k i32)
    (local $m0 v128) (local $m1 v128) (local $m2 v128) (local $m3 v128)
    (local $blank v128) (local $span v128) (local $tab v128) (local $zero v128)
    (local.set $blank (i8x16.splat (i32.const 0x20)))
    (local.set $span (i8x16.splat (i32.const 0x5f)))
    (local.set $tab (i8x16.splat (i32.const 9)))
    (local.set $ptr (local.get $from))
    (local.set $first (local.get $out))
    (block $done
      (loop $next
        (if (i32.ge_s (local.get $ptr) (local.get $to))
          (then
            (br_if $done (i32.lt_s (local.get $open) (i32.const 0)))
            (br_if $done (i32.ge_s (local.get $open) (local.get $to)))
            (br_if $done (i32.lt_s (local.get $open) (local.get $from)))))
        (local.set $m0 (v128.load align=1 (local.get $ptr)))
        (local.set $m1 (v128.load offset=16 align=1 (local.get $ptr)))
        (local.set $m2 (v128.load offset=32 align=1 (local.get $ptr)))
        (local.set $m3 (v128.load offset=48 align=1 (local.get $ptr)))
        (local.set $m0 (v128.or
          (i8x16.lt_u (i8x16.sub (local.get $m0) (local.get $blank)) (local.get $span))
          (i8x16.eq (local.get $m0) (local.get $tab))))
        (local.set $m1 (v128.or
          (i8x16.lt_u (i8x16.sub (local.get $m1) (local.get $blank)) (local.get $span))
          (i8x16.eq (local.get $m1) (local.get $tab))))
        (local.set $m2 (v128.or
          (i8x16.lt_u (i8x16.sub (local.get $m2) (local.get $blank)) (local.get $span))
          (i8x16.eq (local.get $m2) (local.get $tab))))
        (local.set $m3 (v128.or
          (i8x16.lt_u (i8x16.sub (local.get $m3) (local.get $blank)) (local.get $span))
          (i8x16.eq (local.get $m3) (local.get $tab))))
        (if (local.get $wide)
          (then
            (local.set $m0 (v128.and (local.get $m0)
              (i8x16.eq (v128.load offset=1 align=1 (local.get $ptr)) (local.get $zero))))
            (local.set $m1 (v128.and (local.get $m1)
              (i8x16.eq (v128.load offset=17 align=1 (local.get $ptr)) (local.get $zero))))
            (local.set $m2 (v128.and (local.get $m2)
              (i8x16.eq (v128.load offset=33 align=1 (local.get $ptr)) (local.get $zero))))
            (local.set $m3 (v128.and (local.get $m3)
              (i8x16.eq (v128.load offset=49 align=1 (local.get $ptr)) (local.get $zero))))))
        (local.set $m (i64.or
              (i64.or
                (i64.extend_i32_u (i8x16.bitmask (local.get $m0)))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $m1))) (i64.const 16)))
              (i64.or
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $m2))) (i64.const 32))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $m3))) (i64.const 48)))))
        (if (local.get $wide)
          (then
            ;; The zeros belong to the run.
            (local.set $x (local.get $m))
            (local.set $m (i64.or (local.get $m) (i64.or (i64.shl (local.get $m) (i64.const 1)) (local.get $carry))))
            (local.set $carry (i64.shr_u (local.get $x) (i64.const 63)))))

        ;; The run that reaches into these 64 bytes.
        (if (i32.ge_s (local.get $open) (i32.const 0))
          (then
            (if (i64.eq (local.get $m) (i64.const -1))
              (then
                (local.set $ptr (i32.add (local.get $ptr) (i32.const 64)))
                (br $next)))
            (local.set $lead (i64.ctz (i64.xor (local.get $m) (i64.const -1))))
            (local.set $k (i32.add (local.get $ptr) (i32.wrap_i64 (local.get $lead))))
            (if (i32.and
                  (i32.ge_s (i32.sub (local.get $k) (local.get $open)) (local.get $least))
                  (i32.and (i32.ge_s (local.get $open) (local.get $from)) (i32.lt_s (local.get $open) (local.get $to))))
              (then
                (i32.store (local.get $out) (local.get $open))
                (i32.store offset=4 (local.get $out) (local.get $k))
                (local.set $out (i32.add (local.get $out) (i32.const 8)))))
            (local.set $open (i32.const -1))
            (local.set $m (i64.and (local.get $m) (i64.shl (i64.const -1) (local.get $lead))))))

        ;; The run that reaches out of them.
        (if (i64.lt_s (local.get $m) (i64.const 0))
          (then
            (local.set $lead (i64.clz (i64.xor (local.get $m) (i64.const -1))))
            (local.set $open (i32.sub (i32.add (local.get $ptr) (i32.const 64)) (i32.wrap_i64 (local.get $lead))))
            (if (i64.eq (local.get $lead) (i64.const 64))
              (then (local.set $m (i64.const 0)))
              (else (local.set $m (i64.and (local.get $m) (i64.shr_u (i64.const -1) (local.get $lead))))))))

        ;; Those within: a bit of x stays where least bits of m follow each other.
        (if (i32.le_s (local.get $least) (i32.const 64))
          (then
            (local.set $x (local.get $m))
            (local.set $k (i32.const 1))
            (block $whole
              (loop $double
                (br_if $whole (i32.gt_s (i32.shl (local.get $k) (i32.const 1)) (local.get $least)))
                (local.set $x (i64.and (local.get $x) (i64.shr_u (local.get $x) (i64.extend_i32_u (local.get $k)))))
                (local.set $k (i32.shl (local.get $k) (i32.const 1)))
                (br $double)))
            (local.set $x (i64.and (local.get $x)
              (i64.shr_u (local.get $x) (i64.extend_i32_u (i32.sub (local.get $least) (local.get $k))))))
            (block $none
              (loop $each
                (br_if $none (i64.eqz (local.get $x)))
                (local.set $lead (i64.ctz (local.get $x)))
                (local.set $k (i32.add (local.get $ptr) (i32.wrap_i64 (local.get $lead))))
                (br_if $done (i32.ge_s (local.get $k) (local.get $to)))
                (i32.store (local.get $out) (local.get $k))
                (local.set $lead (i64.add (local.get $lead)
                  (i64.ctz (i64.xor (i64.shr_u (local.get $m) (local.get $lead)) (i64.const -1)))))
                (i32.store offset=4 (local.get $out) (i32.add (local.get $ptr) (i32.wrap_i64 (local.get $lead))))
                (local.set $out (i32.add (local.get $out) (i32.const 8)))
                (local.set $x (i64.and (local.get $x) (i64.shl (i64.const -1) (local.get $lead))))
                (br $each)))))
        (local.set $ptr (i32.add (local.get $ptr) (i32.const 64)))
        (br $next)))
    (i32.shr_u (i32.sub (local.get $out) (local.get $first)) (i32.const 3)))
)
