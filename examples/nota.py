"""The program of a teaching note about backpropagation, line by line; only the import differs from PyTorch."""

import retrograd as torch

BATCH_SIZE = 16
DIM_IN = 784
HIDDEN_SIZE = 256
DIM_OUT = 10

net = torch.nn.Sequential(torch.nn.Linear(DIM_IN, HIDDEN_SIZE),
						 torch.nn.ReLU(),
						 torch.nn.Linear(HIDDEN_SIZE, DIM_OUT))

# features aleatorias
some_input = torch.randn(BATCH_SIZE, DIM_IN, requires_grad=False)
# etiquetas aleatorias
ideal_output = torch.randn(BATCH_SIZE, DIM_OUT, requires_grad=False)

model = net

print(model[2].weight[0][0:10]) # solo algunos son mostrados
print(model[2].weight.grad)

optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
prediction = model(some_input)
loss = (ideal_output - prediction).pow(2).sum()
print(loss)

print(model[2].weight[0][0:10]) # solo algunos son mostrados
print(model[2].weight.grad)

loss.backward() # hay que pedir explicitamente calcular los gradientes
print(model[2].weight[0][0:10])
print(model[2].weight.grad[0][0:10])

optimizer.step()
print(model[2].weight[0][0:10])
print(model[2].weight.grad[0][0:10])

print(model[2].weight.grad[0][0:10])

for i in range(0, 5):
	prediction = model(some_input)
	loss = (ideal_output - prediction).pow(2).sum()
	loss.backward()

print(model[2].weight.grad[0][0:10])
optimizer.zero_grad()

print(model[2].weight.grad[0][0:10])
