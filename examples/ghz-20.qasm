// A GHZ state of 20 qubits, (|0...0> + |1...1>)/sqrt(2), grown as a tree of depth 6.
// Expect all zeros and all ones, half of the shots each.
OPENQASM 3.0;
include "stdgates.inc";
qubit[20] q;
bit[20] c;
h q[0];
cx q[0], q[1];
cx q[0], q[2];
cx q[1], q[3];
cx q[0], q[4];
cx q[1], q[5];
cx q[2], q[6];
cx q[3], q[7];
cx q[0], q[8];
cx q[1], q[9];
cx q[2], q[10];
cx q[3], q[11];
cx q[4], q[12];
cx q[5], q[13];
cx q[6], q[14];
cx q[7], q[15];
cx q[0], q[16];
cx q[1], q[17];
cx q[2], q[18];
cx q[3], q[19];
c = measure q;
