//! ELF and DWARF to symbol files, and addresses to frames. Pure over bytes.
