// Deutsch-Jozsa: is f(x) = x0 xor (x1 and x2) xor x3 constant or balanced? One query tells.
// Expect anything but 0000, for f is balanced: bits 0 and 3 are 1, and the AND leaves bits 1 and
// 2 open, so 1001, 1011, 1101 and 1111 with a quarter of the shots each.
OPENQASM 3.0;
include "stdgates.inc";
qubit[4] x_in;
qubit target;
bit[4] c;
x target;
h target;
h x_in;
// The oracle |x>|t> -> |x>|t + f(x)>.
cx x_in[0], target;
ccx x_in[1], x_in[2], target;
cx x_in[3], target;
h x_in;
c = measure x_in;
