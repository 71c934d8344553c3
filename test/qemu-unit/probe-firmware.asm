; The firmware of src/qemu/probe-firmware.ts: an image of 64 KiB that takes an x86 CPU from reset through protected mode and
; paging into long mode, works on memory there, and ends QEMU through isa-debug-exit.
;     nasm -f bin probe-firmware.asm
bits 16
org 0
start:
    cli
    lgdt [cs:gdtr]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword 8:0xf0000 + protected
bits 32
protected:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov edi, 0x1000                     ; page tables: the first 2 MiB one to one
    mov ecx, 0xc00
    xor eax, eax
    rep stosd
    mov dword [0x1000], 0x2003
    mov dword [0x2000], 0x3003
    mov dword [0x3000], 0x83
    mov eax, cr4
    or eax, 0x20                        ; PAE
    mov cr4, eax
    mov eax, 0x1000
    mov cr3, eax
    mov ecx, 0xc0000080                 ; EFER
    rdmsr
    or eax, 0x100                       ; LME
    wrmsr
    mov eax, cr0
    or eax, 0x80000001                  ; PG, PE
    mov cr0, eax
    jmp 24:0xf0000 + longmode
bits 64
longmode:
    mov ecx, 0x10000
again:
    add [0x8000], rcx
    loop again
    mov al, 1
    mov dx, 0xf4
    out dx, al
    hlt
align 8, db 0
gdt:
    dq 0
    dq 0x00cf9a000000ffff
    dq 0x00cf92000000ffff
    dq 0x00af9a000000ffff
gdtr:
    dw gdtr - gdt - 1
    dd 0xf0000 + gdt
    times 0xfff0 - ($ - $$) db 0
bits 16
    jmp start
    times 0x10000 - ($ - $$) db 0
