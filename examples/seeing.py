"""A training loop with a fault, watched: what each gradient is made of, what each step did, and what is wrong."""

import retrograd as torch
from retrograd import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x = torch.rand(4, 2)
target = x.sum(1, keepdim=True)

with torch.see() as record:
    for _ in range(3):
        prediction = net(x)
        loss = ((prediction - target) ** 2).mean()
        loss.backward()
        optimizer.step()

print(record.chain("0.weight"), record.ledger(), record.diagnosis(), sep="\n\n")
