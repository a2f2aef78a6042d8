; Running a program: a list of stages, over arrays given from outside. Called from Python as a builtin function, or through ctypes;
; always with the GIL held. An ndarray is read at the offsets that entry.py has verified: its type at 8, where its data is at 16.

%stage = type { ptr, ptr, i64, i64, i64, i64 }
%patch = type { ptr, i64 }          ; a slot of a kernel's table, and the offset of what it points to from the start of the argument
%argument = type { i64, i64, ptr }  ; where the argument was at the last call, the number of its patches, the patches
; 0 stages, 1 how many, 2 whether any is shared out, 3 whether to release the GIL, 4 number of arguments, 5 arguments,
; 6 the thread that runs it (0: none), 7 the process that did, 8 None, 9 numpy.ndarray, 10 what to call if the arguments are wrong,
; 11 a number that stages may make other than 0: then none runs after them (or null)
%program = type { ptr, i64, i64, i64, i64, ptr, i64, i64, ptr, ptr, ptr, ptr }

@process = internal global i64 0    ; changes in the child of a fork

declare i64 @retrograd_pool_enter()
declare void @retrograd_pool_leave(i64)
declare void @retrograd_pool_stage(ptr, i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare i64 @PyThread_get_thread_ident()

; Lets the tables of pointers follow an argument that has moved.
define internal void @point(ptr %program, i64 %i, i64 %data) nounwind {
entry:
  %arguments.at = getelementptr %program, ptr %program, i64 0, i32 5
  %arguments = load ptr, ptr %arguments.at
  %argument = getelementptr %argument, ptr %arguments, i64 %i
  %before = load i64, ptr %argument
  %same = icmp eq i64 %before, %data
  br i1 %same, label %out, label %moved
moved:
  store i64 %data, ptr %argument
  %count.at = getelementptr %argument, ptr %argument, i64 0, i32 1
  %count = load i64, ptr %count.at
  %patches.at = getelementptr %argument, ptr %argument, i64 0, i32 2
  %patches = load ptr, ptr %patches.at
  %any = icmp ne i64 %count, 0
  br i1 %any, label %each, label %out
each:
  %k = phi i64 [ 0, %moved ], [ %k.next, %each ]
  %patch = getelementptr %patch, ptr %patches, i64 %k
  %slot = load ptr, ptr %patch
  %offset.at = getelementptr %patch, ptr %patch, i64 0, i32 1
  %offset = load i64, ptr %offset.at
  %target = add i64 %data, %offset
  store i64 %target, ptr %slot
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %count
  br i1 %more, label %each, label %out
out:
  ret void
}

; Lets the tables follow all arguments, each advanced by its stride so many times.
define internal void @point_all(ptr %program, ptr %data, ptr %strides, i64 %times) nounwind {
entry:
  %count.at = getelementptr %program, ptr %program, i64 0, i32 4
  %count = load i64, ptr %count.at
  %any = icmp ne i64 %count, 0
  br i1 %any, label %each, label %out
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %start.at = getelementptr i64, ptr %data, i64 %i
  %start = load i64, ptr %start.at
  %stride.at = getelementptr i64, ptr %strides, i64 %i
  %stride = load i64, ptr %stride.at
  %distance = mul i64 %stride, %times
  %now.at = add i64 %start, %distance
  call void @point(ptr %program, i64 %i, i64 %now.at)
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %count
  br i1 %more, label %each, label %out
out:
  ret void
}

; Takes the program for this thread, which waits while another runs it. False if this thread itself is running it.
define internal i1 @take(ptr %program) nounwind {
entry:
  %owner.at = getelementptr %program, ptr %program, i64 0, i32 6
  %process.at = getelementptr %program, ptr %program, i64 0, i32 7
  %me = call i64 @PyThread_get_thread_ident()
  %process = load i64, ptr @process
  %swap = cmpxchg ptr %owner.at, i64 0, i64 %me acquire monotonic, align 8
  %free = extractvalue { i64, i1 } %swap, 1
  br i1 %free, label %mine, label %taken
taken:
  %process.then = load i64, ptr %process.at
  %forked = icmp ne i64 %process.then, %process
  br i1 %forked, label %seize, label %look
seize:
  store atomic i64 %me, ptr %owner.at monotonic, align 8  ; who had it lives in the parent
  br label %mine
look:
  %owner = extractvalue { i64, i1 } %swap, 0
  %within = icmp eq i64 %owner, %me
  br i1 %within, label %refuse, label %queue
queue:
  %state = call ptr @PyEval_SaveThread()
  br label %wait
wait:
  call void @yield()
  %swap.again = cmpxchg ptr %owner.at, i64 0, i64 %me acquire monotonic, align 8
  %free.now = extractvalue { i64, i1 } %swap.again, 1
  br i1 %free.now, label %got, label %wait
got:
  call void @PyEval_RestoreThread(ptr %state)
  br label %mine
mine:
  store i64 %process, ptr %process.at
  ret i1 true
refuse:
  ret i1 false
}

define internal void @drop(ptr %program) nounwind {
  %owner.at = getelementptr %program, ptr %program, i64 0, i32 6
  store atomic i64 0, ptr %owner.at release, align 8
  ret void
}

; How many threads the program may have, from the pool.
define internal i64 @gather(ptr %program) nounwind {
  %shared.at = getelementptr %program, ptr %program, i64 0, i32 2
  %shared = load i64, ptr %shared.at
  %any = icmp ne i64 %shared, 0
  br i1 %any, label %ask, label %alone
ask:
  %threads = call i64 @retrograd_pool_enter()
  ret i64 %threads
alone:
  ret i64 1
}

; Whether a stage has said that no other is to run.
define internal i1 @stopped(ptr %program) nounwind {
  %stop.at = getelementptr %program, ptr %program, i64 0, i32 11
  %stop = load ptr, ptr %stop.at
  %none = icmp eq ptr %stop, null
  br i1 %none, label %out, label %look
look:
  %said = load i64, ptr %stop
  %is = icmp ne i64 %said, 0
  br label %out
out:
  %stopped = phi i1 [ false, %0 ], [ %is, %look ]
  ret i1 %stopped
}

; Runs the stages in order, until one says stop; `times`, if given, receives the nanoseconds that each took.
define internal void @stages(ptr %program, i64 %threads, ptr %times) nounwind {
entry:
  %stages = load ptr, ptr %program
  %count.at = getelementptr %program, ptr %program, i64 0, i32 1
  %count = load i64, ptr %count.at
  %timed = icmp ne ptr %times, null
  %any = icmp ne i64 %count, 0
  br i1 %any, label %first, label %out
first:
  br i1 %timed, label %each.timed, label %each
each:
  %i = phi i64 [ 0, %first ], [ %i.next, %each ]
  %stage = getelementptr %stage, ptr %stages, i64 %i
  call void @retrograd_pool_stage(ptr %stage, i64 %threads)
  %i.next = add i64 %i, 1
  %rest = icmp ult i64 %i.next, %count
  %stopped = call i1 @stopped(ptr %program)
  %go = xor i1 %stopped, true
  %more = and i1 %rest, %go
  br i1 %more, label %each, label %out
each.timed:
  %k = phi i64 [ 0, %first ], [ %k.next, %each.timed ]
  %begin = call i64 @now()
  %stage.timed = getelementptr %stage, ptr %stages, i64 %k
  call void @retrograd_pool_stage(ptr %stage.timed, i64 %threads)
  %end = call i64 @now()
  %time = sub i64 %end, %begin
  %time.at = getelementptr i64, ptr %times, i64 %k
  store i64 %time, ptr %time.at
  %k.next = add i64 %k, 1
  %more.timed = icmp ult i64 %k.next, %count
  br i1 %more.timed, label %each.timed, label %out
out:
  ret void
}

define internal void @run(ptr %program) nounwind {
  %threads = call i64 @gather(ptr %program)
  call void @stages(ptr %program, i64 %threads, ptr null)
  call void @retrograd_pool_leave(i64 %threads)
  ret void
}

; The builtin function (METH_FASTCALL). `self` is an ndarray whose data is the program.
define ptr @retrograd_entry(ptr %self, ptr %objects, i64 %number) nounwind {
entry:
  %program.at = getelementptr i8, ptr %self, i64 16
  %program = load ptr, ptr %program.at
  %count.at = getelementptr %program, ptr %program, i64 0, i32 4
  %count = load i64, ptr %count.at
  %ndarray.at = getelementptr %program, ptr %program, i64 0, i32 9
  %ndarray = load ptr, ptr %ndarray.at
  %as.many = icmp eq i64 %count, %number
  br i1 %as.many, label %check, label %complain
check:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %each, label %begin
each:
  %object.at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %object.at
  %type.at = getelementptr i8, ptr %object, i64 8
  %type = load ptr, ptr %type.at
  %i.next = add i64 %i, 1
  %is.array = icmp eq ptr %type, %ndarray
  br i1 %is.array, label %check, label %complain
begin:
  %free = call i1 @take(ptr %program)
  br i1 %free, label %follow, label %complain
follow:
  %k = phi i64 [ 0, %begin ], [ %k.next, %patch ]
  %more.k = icmp ult i64 %k, %count
  br i1 %more.k, label %patch, label %go
patch:
  %array.at = getelementptr ptr, ptr %objects, i64 %k
  %array = load ptr, ptr %array.at
  %data.at = getelementptr i8, ptr %array, i64 16
  %data = load i64, ptr %data.at
  call void @point(ptr %program, i64 %k, i64 %data)
  %k.next = add i64 %k, 1
  br label %follow
go:
  %release.at = getelementptr %program, ptr %program, i64 0, i32 3
  %release = load i64, ptr %release.at
  %let.go = icmp ne i64 %release, 0
  br i1 %let.go, label %run.free, label %run.held
run.free:
  %state = call ptr @PyEval_SaveThread()
  call void @run(ptr %program)
  call void @PyEval_RestoreThread(ptr %state)
  br label %done
run.held:
  call void @run(ptr %program)
  br label %done
done:
  call void @drop(ptr %program)
  %none.at = getelementptr %program, ptr %program, i64 0, i32 8
  %none = load ptr, ptr %none.at
  call void @Py_IncRef(ptr %none)
  ret ptr %none
complain:
  %complain.at = getelementptr %program, ptr %program, i64 0, i32 10
  %explain = load ptr, ptr %complain.at
  %result = call ptr @PyObject_Vectorcall(ptr %explain, ptr %objects, i64 %number, ptr null)
  ret ptr %result
}

; Runs the program `times` times over arrays at `data`, which advance by their strides. Returns how many times it ran to its end;
; -1 if it is running already.
define i64 @retrograd_run_many(ptr %program, ptr %data, ptr %strides, i64 %times) nounwind {
entry:
  %free = call i1 @take(ptr %program)
  br i1 %free, label %begin, label %out
begin:
  %state = call ptr @PyEval_SaveThread()
  %threads = call i64 @gather(ptr %program)
  br label %next
next:
  %i = phi i64 [ 0, %begin ], [ %i.next, %each ]
  %rest = icmp slt i64 %i, %times
  %stopped = call i1 @stopped(ptr %program)
  %go = xor i1 %stopped, true
  %more = and i1 %rest, %go
  br i1 %more, label %each, label %done
each:
  call void @point_all(ptr %program, ptr %data, ptr %strides, i64 %i)
  call void @stages(ptr %program, i64 %threads, ptr null)
  %i.next = add i64 %i, 1
  br label %next
done:
  %last = sext i1 %stopped to i64
  %ended = add i64 %i, %last
  call void @retrograd_pool_leave(i64 %threads)
  call void @PyEval_RestoreThread(ptr %state)
  call void @drop(ptr %program)
  br label %out
out:
  %count = phi i64 [ -1, %entry ], [ %ended, %done ]
  ret i64 %count
}

; Runs the program once and tells the nanoseconds of each stage. False if it is running already.
define zeroext i1 @retrograd_timed(ptr %program, ptr %data, ptr %strides, ptr %times) nounwind {
  %free = call i1 @take(ptr %program)
  br i1 %free, label %begin, label %out
begin:
  %state = call ptr @PyEval_SaveThread()
  %threads = call i64 @gather(ptr %program)
  call void @point_all(ptr %program, ptr %data, ptr %strides, i64 0)
  call void @stages(ptr %program, i64 %threads, ptr %times)
  call void @retrograd_pool_leave(i64 %threads)
  call void @PyEval_RestoreThread(ptr %state)
  call void @drop(ptr %program)
  br label %out
out:
  ret i1 %free
}

; For the child of a fork.
define void @retrograd_entry_forked() nounwind {
  %before = load i64, ptr @process
  %after = add i64 %before, 1
  store i64 %after, ptr @process
  ret void
}
