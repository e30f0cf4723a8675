// A variational ansatz with one parameter for the hydrogen molecule at 0.735 angstrom, in two
// qubits (parity mapping): exp(-i theta/2 X0 Y1) on the Hartree-Fock state. It measures
// nothing: vqe-ansatz.json gives nine values of theta and the energy as a sum of Pauli strings.
// Expect the lowest energy, -1.857 hartree (without the nuclear repulsion of 0.720), at
// theta = -0.2235, the fifth point.
OPENQASM 3.0;
include "stdgates.inc";
input float theta;
qubit[2] q;
x q[0];
// exp(-i theta/2 Y1 X0): into the ZZ basis, turn, and back.
h q[0];
sdg q[1];
h q[1];
cx q[0], q[1];
rz(theta) q[1];
cx q[0], q[1];
h q[1];
s q[1];
h q[0];
