; A guest in a few sectors: starts from a floppy within milliseconds, fills memory with a pattern, keeps rewriting one part
; of it, verifies every page before it rewrites it, and reports on COM1. Long mode, so it reaches memory above 4 GiB.
;
; Page i lies at base + i * stride (moved over the hole below 4 GiB). Pages 0 .. moving-1 are rewritten again and again, one
; generation a sweep; the `still` pages after them are written once and only verified. What a page must hold follows from
; its address, its generation and the boot id, so no table can get lost together with the page.
;
; Lines on COM1, numbers in hex:   ready|ok|alive|verified BOOTID STEPS SWEEP
;                                  BAD BOOTID ADDRESS FOUND EXPECTED      (then each answer is BAD)
; A byte received:  ? -> alive     ! -> verifies every page now, then verified     z -> stops answering (for tests of tests)

SECTORS equ 6

        bits 16
        org 0x7c00
start:
        cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7c00
        jmp 0:.here
.here:
        mov bp, 5
.load:
        mov ax, 0x0200 + SECTORS
        mov cx, 2
        mov dh, 0
        mov bx, 0x7e00
        int 0x13
        jnc .loaded
        xor ax, ax
        int 0x13
        dec bp
        jnz .load
        hlt
.loaded:
        in al, 0x92
        or al, 2
        and al, 0xfe
        out 0x92, al

        ; Just enough page tables for long mode: the first 2 MiB. The rest is mapped from there.
        mov edi, 0x1000
        xor eax, eax
        mov ecx, 0x3000 / 4
        cld
        rep stosd
        mov dword [0x1000], 0x2003
        mov dword [0x2000], 0x3003
        mov dword [0x3000], 0x83
        mov eax, 0x1000
        mov cr3, eax
        mov eax, cr4
        or eax, 1 << 5
        mov cr4, eax
        mov ecx, 0xc0000080
        rdmsr
        or eax, 1 << 8
        wrmsr
        lgdt [gdt_pointer]
        mov eax, cr0
        or eax, 0x80000001
        mov cr0, eax
        jmp 0x08:long_mode

        align 8
gdt:    dq 0
        dq 0x00af9a000000ffff
        dq 0x00cf92000000ffff
gdt_pointer:
        dw $ - gdt - 1
        dd gdt

        times 510 - ($ - $$) db 0
        dw 0xaa55

; ---- second sector: the parameters, patched into the image by whoever starts it
config_magic: db "FRAMBOOT"
base:         dq 0x400000
stride:       dq 4096
moving:       dq 2048
still:        dq 1024
per_tick:     dq 64          ; pages a tick of 4 ms; 0: as fast as it goes
zeroing:      dq 0           ; 1: an eighth of the pages is zero, others in each generation
hole_start:   dq -1
hole_size:    dq 0

; ---- state
boot_id:      dq 0
ticks:        dq 0
last_line:    dq 0
still_next:   dq 0
bad_address:  dq 0
bad_found:    dq 0
bad_expected: dq 0
mute:         dq 0

        bits 64
%define steps r13
%define sweep r14
%define next  r15

long_mode:
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov rsp, 0x7c00
        mov edi, 0x10000             ; 64 GiB in 2 MiB pages: 64 page directories
        mov eax, 0x83
        mov ecx, 64 * 512
.map:   mov [rdi], rax
        add rax, 0x200000
        add rdi, 8
        dec ecx
        jnz .map
        mov edi, 0x2000
        mov eax, 0x10003
        mov ecx, 64
.dirs:  mov [rdi], rax
        add rax, 0x1000
        add rdi, 8
        dec ecx
        jnz .dirs
        mov rax, cr3
        mov cr3, rax

        rdtsc
        shl rdx, 32
        or rax, rdx
        mov rdx, 0x9e3779b97f4a7c15
        mul rdx
        xor rax, rdx
        shr rax, 16
        mov eax, eax
        mov [boot_id], rax

        call serial_init
        call timer_init
        xor steps, steps
        xor sweep, sweep
        xor next, next

        ; first fill: every page, generation 0
        mov rbp, [moving]
        add rbp, [still]
        xor r8, r8
.fill:  cmp r8, rbp
        jae .filled
        mov r9, 0
        call write_page
        inc r8
        jmp .fill
.filled:
        sti
        mov rsi, word_ready
        call line

main:
        mov rbp, [per_tick]
        test rbp, rbp
        jnz .turn
        mov rbp, 16                  ; full speed: a look at the serial port every 16 pages
.turn:
        call step
        dec rbp
        jnz .turn
        call serial_poll
        mov rax, [ticks]
        sub rax, [last_line]
        cmp rax, 125
        jb .quiet
        mov rsi, word_ok
        call line
        mov rax, [ticks]
        mov [last_line], rax
.quiet:
        cmp qword [per_tick], 0
        je main
        hlt                          ; until the next tick
        jmp main

; One page of the moving part verified and rewritten, one page of the still part verified.
step:
        inc steps
        cmp qword [moving], 0
        je .still
        mov r8, next
        mov r9, sweep
        call check_page
        inc r9
        call write_page
        inc next
        cmp next, [moving]
        jb .still
        xor next, next
        inc sweep
.still:
        cmp qword [still], 0
        je .done
        mov r8, [still_next]
        inc r8
        cmp r8, [still]
        jb .in
        xor r8, r8
.in:    mov [still_next], r8
        add r8, [moving]
        xor r9, r9
        call check_page
.done:  ret

; r8 page, r9 generation -> rdi address, rax first word, rbx increment
content:
        mov rdi, r8
        imul rdi, [stride]
        add rdi, [base]
        cmp rdi, [hole_start]
        jb .low
        add rdi, [hole_size]
.low:
        cmp qword [zeroing], 0
        je .pattern
        mov rax, r8
        shr rax, 2
        add rax, r9
        and rax, 7
        jz .zero
.pattern:
        mov rax, 0x9e3779b97f4a7c15
        imul rax, rdi
        mov rbx, 0xc2b2ae3d27d4eb4f
        imul rbx, r9
        add rax, rbx
        add rax, [boot_id]
        mov rbx, 0x165667b19e3779f9
        ret
.zero:  xor eax, eax
        xor ebx, ebx
        ret

write_page:
        call content
        mov ecx, 512
.next:  mov [rdi], rax
        add rax, rbx
        add rdi, 8
        dec ecx
        jnz .next
        ret

check_page:
        call content
        mov ecx, 512
.next:  cmp [rdi], rax
        jne .bad
        add rax, rbx
        add rdi, 8
        dec ecx
        jnz .next
        ret
.bad:   cmp qword [bad_address], 0
        jne .known
        mov [bad_address], rdi
        mov [bad_expected], rax
        mov rax, [rdi]
        mov [bad_found], rax
        mov rsi, word_bad
        call line
.known: ret

check_all:
        xor r8, r8
        mov rbp, [moving]
        add rbp, [still]
.next:  cmp r8, rbp
        jae .done
        xor r9, r9
        cmp r8, [moving]
        jae .check
        mov r9, sweep
        cmp r8, next
        adc r9, 0                    ; pages before `next` are one generation ahead
.check: call check_page
        inc r8
        jmp .next
.done:  ret

; ---- serial
serial_init:
        mov dx, 0x3f9
        xor al, al
        out dx, al
        mov dx, 0x3fb
        mov al, 0x80
        out dx, al
        mov dx, 0x3f8
        mov al, 1
        out dx, al
        mov dx, 0x3f9
        xor al, al
        out dx, al
        mov dx, 0x3fb
        mov al, 3
        out dx, al
        mov dx, 0x3fa
        mov al, 7
        out dx, al
        mov dx, 0x3fc
        mov al, 3
        out dx, al
        ret

serial_poll:
        mov dx, 0x3fd
        in al, dx
        test al, 1
        jz .none
        mov dx, 0x3f8
        in al, dx
        cmp al, 'z'
        jne .awake
        mov qword [mute], 1
.awake: cmp qword [mute], 0
        jne .none
        mov rsi, word_alive
        cmp al, '?'
        je line
        cmp al, '!'
        jne .none
        push rbp
        call check_all
        pop rbp
        mov rsi, word_verified
        jmp line
.none:  ret

; rsi: the word. BAD once something was found bad, whatever was asked.
line:
        cmp qword [mute], 0
        jne .silent
        cmp qword [bad_address], 0
        jne .bad
        call puts
        mov rax, [boot_id]
        call put_hex8
        mov rax, steps
        call put_hex16
        mov rax, sweep
        call put_hex8
        jmp .end
.bad:   mov rsi, word_bad
        call puts
        mov rax, [boot_id]
        call put_hex8
        mov rax, [bad_address]
        call put_hex16
        mov rax, [bad_found]
        call put_hex16
        mov rax, [bad_expected]
        call put_hex16
.end:   mov al, 10
        call putc
.silent:
        ret

puts:   lodsb
        test al, al
        jz .end
        call putc
        jmp puts
.end:   ret

put_hex8:
        mov ecx, 8
        shl rax, 32
        jmp put_hex
put_hex16:
        mov ecx, 16
put_hex:
        mov rbx, rax
        mov al, ' '
        call putc
.next:  rol rbx, 4
        mov al, bl
        and al, 15
        add al, '0'
        cmp al, '9'
        jbe .digit
        add al, 'a' - '9' - 1
.digit: call putc
        dec ecx
        jnz .next
        ret

putc:   mov ah, al
        mov dx, 0x3fd
.wait:  in al, dx
        test al, 0x20
        jz .wait
        mov dx, 0x3f8
        mov al, ah
        out dx, al
        ret

; ---- timer: 250 Hz on vector 0x20, every other interrupt masked
timer_init:
        mov edi, 0x4000
        xor eax, eax
        mov ecx, 48 * 2
        rep stosq
        mov edi, 0x4000 + 0x20 * 16
        mov rax, tick
        call gate
        mov edi, 0x4000 + 0x27 * 16
        mov rax, spurious
        call gate
        lidt [idt_pointer]
        mov al, 0x11
        out 0x20, al
        out 0xa0, al
        mov al, 0x20
        out 0x21, al
        mov al, 0x28
        out 0xa1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xa1, al
        mov al, 1
        out 0x21, al
        out 0xa1, al
        mov al, 0xfe
        out 0x21, al
        mov al, 0xff
        out 0xa1, al
        mov al, 0x34
        out 0x43, al
        mov ax, 4773
        out 0x40, al
        mov al, ah
        out 0x40, al
        ret
gate:   mov [rdi], ax
        mov word [rdi + 2], 0x08
        mov word [rdi + 4], 0x8e00
        shr rax, 16
        mov [rdi + 6], ax
        ret
tick:   push rax
        inc qword [ticks]
        mov al, 0x20
        out 0x20, al
        pop rax
        iretq
spurious:
        iretq

        align 8
idt_pointer:
        dw 48 * 16 - 1
        dq 0x4000

word_ready:    db "ready", 0
word_ok:       db "ok", 0
word_alive:    db "alive", 0
word_verified: db "verified", 0
word_bad:      db "BAD", 0

        times (SECTORS + 1) * 512 - ($ - $$) db 0
