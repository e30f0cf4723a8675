// A distance-3 repetition code that keeps a logical 1 through three rounds of syndrome
// measurement. The ancillas are reset and used again. Bit flips are put in on purpose: data
// qubit 0 before round 0, data qubit 2 before round 2.
// Expect one outcome: the syndromes (ancilla 1, ancilla 0) of the rounds are 01, 01 and 11, and
// the data end as 010. The changes of the syndrome name qubits 0 and 2, which makes it 111 again.
// The key reads "readout s2 s1 s0": 010 11 01 01.
OPENQASM 3.0;
include "stdgates.inc";
qubit[3] data;
qubit[2] ancilla;
bit[2] s0;
bit[2] s1;
bit[2] s2;
bit[3] readout;

// Logical 1.
x data[0];
cx data[0], data[1];
cx data[0], data[2];

// Round 0, after an error.
x data[0];
cx data[0], ancilla[0];
cx data[1], ancilla[0];
cx data[1], ancilla[1];
cx data[2], ancilla[1];
s0 = measure ancilla;
reset ancilla;

// Round 1.
cx data[0], ancilla[0];
cx data[1], ancilla[0];
cx data[1], ancilla[1];
cx data[2], ancilla[1];
s1 = measure ancilla;
reset ancilla;

// Round 2, after another error.
x data[2];
cx data[0], ancilla[0];
cx data[1], ancilla[0];
cx data[1], ancilla[1];
cx data[2], ancilla[1];
s2 = measure ancilla;
reset ancilla;

readout = measure data;
